"""ResNet-VAEs that differ in their seed only, under the names of a sweep of dropouts; and planted activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eval.claims import Claim
from tests.claims_meta.rows import Material, Row
from vision_codes.configs.dropout_sweep import AnalysisOptions
from vision_codes.lenses.spectra.results import Spectra
from vision_codes.lenses.spectra.study import spectra
from vision_codes.lenses.sweep import study
from vision_codes.lenses.sweep.claims import claims
from vision_codes.lenses.sweep.networks import Network
from vision_codes.lenses.sweep.study import analyse
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.vae_architecture import Architecture

DROPOUTS, SEEDS = (0.0, 0.2, 0.5), 3
OPTIONS = AnalysisOptions(spectra_images=40, control_images=10, frames=24, projections=20)


PLANTED = AnalysisOptions(spectra_images=0, control_images=10, frames=40, projections=30)
UNITS, STEP_AFTER, PIXELS = 104, 70, 32 * 32
SPREAD = 0.289
"""Of a pixel that is uniform from 0 to 1."""


@lru_cache(maxsize=1)
def fresh_networks() -> tuple[Network, ...]:
    """One network per dropout and seed and an untrained one per seed: all of them untrained, each of its own seed."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    out = []
    for number, (seed, dropout) in enumerate((s, d) for s in range(SEEDS) for d in (*DROPOUTS, None)):
        torch.manual_seed(100 + number)
        model = ResNetVAE(Architecture(image_size=32, base_width=4, fully_connected=16, latent=4)).eval()
        rows, _ = analyse(model, images, OPTIONS, dropout=dropout, seed=seed)
        out.append(Network(dropout, seed, rows.spectra, rows.dot))
    return tuple(out)


def untrained(material: Material) -> list[Claim]:
    return claims(fresh_networks())


def shuffled(material: Material) -> list[Claim]:
    """Every network's sites in another order."""
    generator = np.random.default_rng(1)
    out = []
    for network in fresh_networks():
        layers = generator.permutation([row.layer for row in network.spectra])
        placed = [
            sorted(
                (replace(row, layer=int(layer)) for row, layer in zip(rows, layers, strict=True)), key=lambda r: r.layer
            )
            for rows in (network.spectra, network.dot)
        ]
        out.append(replace(network, spectra=placed[0], dot=placed[1]))
    return claims(out)


class PlantedSite(nn.Module):
    """A site in the place of a ReLU, whose units are a fixed function of the image.

    Over images of noise its units are independent with variances that fall as a power of their number, and once by a
    step. The first two read where the light of the image is. The others are cosines of the pixels, of a frequency at
    which no two frames are alike (rough) or of one at which neighbours are (smooth), and fainter on dark images.
    """

    def __init__(self, alpha: float, step: float, rough: float, faint: float, generator: np.random.Generator) -> None:
        super().__init__()
        number = np.arange(1, UNITS + 1)
        variances = number**alpha * np.where(number > STEP_AFTER, np.exp(-step), 1.0)
        frequency = np.where(generator.random(UNITS) < rough, 3e3, 0.4)
        self.weights = torch.tensor(generator.standard_normal((PIXELS, UNITS)) * frequency, dtype=torch.float32)
        self.phases = torch.tensor(generator.uniform(0, 2 * np.pi, UNITS), dtype=torch.float32)
        row, column = np.mgrid[:32, :32] - 15.5
        place = np.stack([row.ravel(), column.ravel()], 1)
        self.place = torch.tensor(place / (SPREAD * np.sqrt((place**2).sum(0))), dtype=torch.float32)
        self.sizes = torch.tensor(np.sqrt(variances), dtype=torch.float32)
        self.faint = faint

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1)
        light = torch.where(pixels.mean(1, keepdim=True) < 0.25, self.faint, 1.0)
        cosines = 2**0.5 * torch.cos(pixels @ self.weights + self.phases) * light
        return torch.cat([(pixels - 0.5) @ self.place, cosines[:, 2:]], 1) * self.sizes


class PlantedNetwork(nn.Module):
    """Seventeen planted sites under the names that the study reads."""

    def __init__(self, sites: Sequence[PlantedSite]) -> None:
        super().__init__()
        self.architecture = Architecture(image_size=32, channels=1)
        self.sites, self.blank = nn.ModuleList(sites), nn.Parameter(torch.zeros(1))

    def relu_sites(self) -> dict[str, nn.Module]:
        return {f"site{number}": site for number, site in enumerate(self.sites, 1)}

    def check_images(self, images: Tensor) -> None: ...

    def encoder(self, images: Tensor) -> None:
        for site in self.sites:
            site(images)


ByDepth = Sequence[tuple[float, float, float, float]]
"""Exponent, step, rough share and faintness on dark images of seventeen sites."""
AS_SAID: ByDepth = [*[(-1.2, 0.0, 0.9, 1.5)] * 5, *[(-0.4, 1.0, 1.0, 0.6)] * 8, *[(-1.9, 1.0, 0.1, 0.2)] * 4]
PIXELS_SAID: ByDepth = [(-1.2, 0.0, 1.0, 0.1 * 1.25**number) for number in range(17)]
"""Where light is, is read less and less with depth, by which pixels are foretold less badly: both need two worlds."""
SMOOTH: ByDepth = [(-0.6, 0.0, 0.0, 1.0)] * 17
BLIND: ByDepth = [(-0.6, 0.0, 1.0, 9.0)] * 17
"""Without training: the same at every depth, smooth and flat, or without a trace of where light is."""


WORLDS = ((AS_SAID, SMOOTH, 1200, 4, -1.0), (PIXELS_SAID, BLIND, 110, 3, 4.0))


def planted_network(by_depth: ByDepth, dropout: float | None, seed: int, images: int, more: float) -> Network:
    """With dropout: steeper, larger steps, and what does not read the place of light by the factor `more` stronger."""
    generator = np.random.default_rng([seed, 99 if dropout is None else round(10 * dropout)])
    shown = generator.integers(0, 256, (images, 1, 32, 32), dtype=np.uint8)
    share = dropout or 0.0
    sites = [
        PlantedSite(alpha - 0.5 * share, step + share * (step > 0), rough, faint * (1 + more * share), generator)
        for alpha, step, rough, faint in by_depth
    ]
    model: Any = PlantedNetwork(sites)
    rows, _ = analyse(model, shown, PLANTED, dropout=dropout, seed=seed)
    return Network(dropout, seed, rows.spectra, rows.dot)


def uncorrected(*given: Any, **options: Any) -> Spectra:
    return spectra(*given, **{**options, "correct": False})


def planted(material: Material) -> list[Claim]:
    """Two worlds; exponents as measured, as correcting them takes a second a network."""
    found: list[Claim] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "spectra", uncorrected)
        for by_depth, fresh, images, seeds, more in WORLDS:
            found += claims(
                [
                    planted_network(fresh if dropout is None else by_depth, dropout, seed, images, more)
                    for seed in range(seeds)
                    for dropout in (*DROPOUTS, None)
                ]
            )
    return found


ROW = Row({"untrained": untrained, "shuffled": shuffled, "planted": planted})
