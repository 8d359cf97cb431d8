"""Boundaries within and between classes, layer by layer, in a trained network and in its controls.

Axis glossary: ``image``, ``layer`` a cut of the network whose input space is measured: codes of everything after it,
distances at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.codes.class_density import ClassDensity, class_density, pair_density, trend_over_layers
from eval.measures.codes.program_codes import site_codes
from eval.measures.geometry.piecewise_linear import Program
from eval.scores import Score
from vision_codes.lenses.polytopes.results import DensityRow, NoiseRow


@dataclass(frozen=True)
class LayerDensities:
    """Per layer: within and between classes; `trend`: rank correlation of depth and ratio; `densities` of all pairs."""

    layers: tuple[str, ...]
    measured: tuple[ClassDensity, ...]
    trend: Score
    densities: np.ndarray
    distances: np.ndarray
    near_zero: float

    def rows(self, network: str) -> list[DensityRow]:
        """One row a layer, named after the network measured."""
        out = []
        for layer, found in zip(self.layers, self.measured, strict=True):
            p = found.p if np.isfinite(found.p) else None
            scores = (found.intra, found.inter, found.ratio)
            out.append(DensityRow(network, layer, "code difference", *scores, p, found.reason))
        return out


def batches(x: Tensor, size: int) -> Iterator[Tensor]:
    """Consecutive batches of inputs."""
    for start in range(0, len(x), size):
        yield x[start : start + size]


def choose_layers(program: Program, wanted: Sequence[str] = (), count: int = 6) -> tuple[str, ...]:
    """The layers to measure: those asked for, or `count` places evenly over depth, outermost modules first.

    Raises `UserError` for an unknown layer, and for one after which nothing is nonlinear.
    """
    if wanted:
        for name in wanted:
            if not program.tail(name).sites:
                raise UserError(f"expected a layer with switches after it; got {name!r}; choose an earlier one")
        return tuple(wanted)
    total = len(program.sites)
    first: dict[int, str] = {}
    for deepest in (1, 99):  # outer modules first; the earliest of places with the same switches ahead
        for name in program.cuts:
            ahead = len(program.tail(name).sites)
            if ahead and name.count(".") <= deepest and not name.endswith("padding"):
                first.setdefault(ahead, name)
        if len(first) >= count:
            break
    chosen: list[str] = []
    for target in np.linspace(total, 1, count):
        name = first[min(first, key=lambda ahead: abs(ahead - target))]
        if name not in chosen:
            chosen.append(name)
    return tuple(chosen)


def layer_activations(program: Program, x: Tensor, layers: Sequence[str], batch_size: int) -> dict[str, Tensor]:
    """What enters the rest of the network at each layer, ``{layer: [image ...]}``."""
    parts: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    with torch.no_grad():
        for batch in batches(x, batch_size):
            for layer, value in program.values_at(batch, layers).items():
                parts[layer].append(value)
    return {layer: torch.cat(values) for layer, values in parts.items()}


def euclidean(values: Tensor) -> np.ndarray:
    """Distances ``[image image]`` in float64, exactly zero for equal images."""
    flat = values.flatten(1).double()
    return torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").numpy()


def layer_densities(
    program: Program, x: Tensor, labels: np.ndarray, layers: Sequence[str], *, batch_size: int = 8, seed: int = 0
) -> LayerDensities:
    """Is the density of boundaries higher between classes, the more so in higher layers? [PL prediction 2]

    For each layer: Hamming distance of the codes of everything after it, over Euclidean distance at it, for all image
    pairs. Codes differ in fewer units than are crossed on the way (a unit may flip twice): a lower bound on boundaries.
    """
    with torch.no_grad():
        activations = layer_activations(program, x, layers, batch_size)
        codes = site_codes(program, batches(x, batch_size))
    apart = {site: code.hamming_matrix().astype(np.int64) for site, code in codes.items()}
    near = float(np.mean([code.near_zero.mean() for code in codes.values()]))
    measured, densities, distances = [], [], []
    for layer in layers:
        distance = np.sum([apart[step.site] for step in program.tail(layer).sites], axis=0)
        length = euclidean(activations[layer])
        measured.append(class_density(distance, length, labels, seed=seed))
        densities.append(pair_density(distance, length)[0])
        distances.append(distance)
    stacked = np.stack(densities)
    trend = trend_over_layers(stacked, labels, seed=seed)
    return LayerDensities(tuple(layers), tuple(measured), trend, stacked, np.stack(distances), near)


def matched_noise(activations: Tensor, seed: int = 0) -> Tensor:
    """Gaussian noise with the mean, covariance and norms of real activations, as many and of their shape.

    ``mean + sum_i g_i (a_i - mean) / sqrt(n - 1)``, rescaled to the norm of a real one: on the data's linear span with
    its covariance, but not on its manifold.
    """
    generator = torch.Generator().manual_seed(seed)
    flat = activations.flatten(1)
    mean = flat.mean(0)
    weights = torch.randn(len(flat), len(flat), generator=generator) / max(1, len(flat) - 1) ** 0.5
    noise = mean + weights @ (flat - mean)
    noise *= flat.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
    return noise.reshape(activations.shape)


def noise_density(program: Program, layer: str, activations: Tensor, *, batch_size: int = 8, seed: int = 0) -> NoiseRow:
    """Density among real activations of a layer against `matched_noise`."""
    tail = program.tail(layer)
    found = []
    for x in (activations, matched_noise(activations, seed)):
        with torch.no_grad():
            codes = site_codes(tail, batches(x, batch_size), layer)
        distance = np.sum([code.hamming_matrix().astype(np.int64) for code in codes.values()], axis=0)
        value = pair_density(distance, euclidean(x))[0]
        found.append(float(np.nanmean(value)))
    of_data, of_noise = found
    return NoiseRow(layer, len(activations), of_data, of_noise, of_noise / of_data if of_data else None)
