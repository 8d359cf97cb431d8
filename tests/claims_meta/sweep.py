"""ResNet-VAEs that differ in their seed only, under the names of a sweep of dropouts."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from eval.claims import Claim
from tests.claims_meta.rows import Material, Row
from vision_codes.configs.dropout_sweep import AnalysisOptions
from vision_codes.lenses.sweep.claims import claims
from vision_codes.lenses.sweep.networks import Network
from vision_codes.lenses.sweep.study import analyse
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.vae_architecture import Architecture

DROPOUTS, SEEDS = (0.0, 0.2, 0.5), 3
OPTIONS = AnalysisOptions(spectra_images=40, control_images=10, frames=24, projections=20)


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


ROW = Row(
    {"untrained": untrained, "shuffled": shuffled},
    without={
        "planted": "a truth is a set of ResNet-VAEs of 17 sites each; numbers by hand, which do not count, stand in "
        "tests/vision_codes/lenses/sweep/test_study.py"
    },
)
