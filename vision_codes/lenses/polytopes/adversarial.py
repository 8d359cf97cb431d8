"""The smallest step that changes an image's class: does it cross more boundaries than other steps, and a ridge?

Black et al. (2022) ask whether adversarial examples cross ridges of polytope density. The step is DeepFool's
(`eval.measures.geometry.decision_paths`); it is compared with random steps and with steps towards another image, each
of the same length from the same image, by how many switches of the whole network differ at its end. A random step
leaves the data in every direction at once, one towards another image leaves it least.

Axis glossary: ``image``, ``bin`` of the path.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eval.measures.geometry.decision_paths import ways_out
from eval.measures.geometry.piecewise_linear import Program, site_symbols, walk
from eval.measures.geometry.sampled_segments import sampled_crossings
from eval.measures.statistics.resampling import bootstrap, bootstrap_mean
from eval.scores import Score
from vision_codes.lenses.polytopes.density import batches
from vision_codes.lenses.polytopes.panel_rows import WayOutRow

BEYOND = 2.0
"""The path goes on to this many times the step, so that the change of class lies in its middle."""
NEAR = 0.1
"""Share of the path on either side of the change that counts as its place."""
MINIMUM_IMAGES = 8
WITH_GRADIENT = 4
"""Images whose activations are kept at once for the way back."""


def changed_switches(program: Program, x: Tensor, y: Tensor, batch_size: int = 8) -> np.ndarray:
    """How many switches differ between each image and its partner, ``[image]``."""
    counts = []
    with torch.no_grad():
        for one, two in zip(batches(x, batch_size), batches(y, batch_size), strict=True):
            total = np.zeros(len(one), dtype=np.int64)
            for step, z in walk(program, torch.cat([one, two])):
                symbols = site_symbols(step, z)
                total += (symbols[: len(one)] != symbols[len(one) :]).sum(1).numpy()
            counts.append(total)
    return np.concatenate(counts)


def way_out_row(
    program: Program, x: Tensor, *, network: str = "trained", samples: int = 0, batch_size: int = 8, seed: int = 0
) -> WayOutRow:
    """The comparison for some images ``[image ...]`` of one network; samples: places along each path (0: no path)."""
    parts = [ways_out(program, batch) for batch in batches(x, min(batch_size, WITH_GRADIENT))]
    found = torch.cat([part.found for part in parts])
    x, y = x[found], torch.cat([part.points for part in parts])[found]
    count = int(found.sum())
    if not count:
        none = Score.undefined("no step that changes a class was found", len(found))
        return WayOutRow(network, len(found), 0, none, none, none, none, none)
    step, random, image = y - x, *_other_steps(x, y, seed)
    own, by_chance, towards = (
        changed_switches(program, x, x + way, batch_size).astype(float) for way in (step, random, image)
    )
    ridges = [Score.undefined("no path was followed", count)] * 2
    if samples:
        ridges = [_ridge(program, x, way, samples, batch_size, seed) for way in (step, random)]
    length = (step.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)).double().numpy()
    return WayOutRow(
        network, len(found), count, _mean(length, seed), _log2_ratio(own, by_chance, seed),
        _log2_ratio(own, towards, seed), ridges[0], ridges[1],
    )  # fmt: skip


def _other_steps(x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Steps as long as those from x to y: in random directions, and each towards the next image."""
    generator = torch.Generator().manual_seed(seed)
    length = (y - x).flatten(1).norm(dim=1).reshape(-1, *[1] * (x.dim() - 1))
    random = torch.randn(x.shape, generator=generator)
    image = x.roll(1, 0) - x if len(x) > 1 else random.clone()
    return tuple(length * way / _norm(way).clamp(min=1e-30) for way in (random, image))  # pyright: ignore


def _norm(way: Tensor) -> Tensor:
    return way.flatten(1).norm(dim=1).reshape(-1, *[1] * (way.dim() - 1))


def _ridge(program: Program, x: Tensor, way: Tensor, samples: int, batch_size: int, seed: int) -> Score:
    """log2 of crossings per length around the change of class (at half of each path) over those elsewhere on it."""
    near, far = np.zeros(len(x)), np.zeros(len(x))
    for row, (start, step) in enumerate(zip(x, way, strict=True)):
        path = sampled_crossings(program, start, start + BEYOND * step, n_samples=samples, batch_size=batch_size)
        near[row] = (np.abs(path.t - 1 / BEYOND) <= NEAR).sum()
        far[row] = path.count - near[row]
    return _log2_ratio(near / (2 * NEAR), far / (1 - 2 * NEAR), seed)


def _log2_ratio(own: np.ndarray, other: np.ndarray, seed: int) -> Score:
    """log2 of two sums over images (an image without any switch in one of them is no matter), interval over images."""

    def ratio(weights: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log2(weights @ own) - np.log2(weights @ other)

    return bootstrap(ratio, len(own), minimum_groups=MINIMUM_IMAGES, seed=seed, method="percentile")


def _mean(values: np.ndarray, seed: int) -> Score:
    return bootstrap_mean(values, minimum_groups=MINIMUM_IMAGES, seed=seed, method="percentile")
