"""Does the Hamming distance of two images' codes track the distance of the affine maps in their polytopes?

Axis glossary: ``image``, ``pair`` of images (upper triangle, row by row), ``probe`` random output directions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eval.measures.geometry.affine_maps import BoundaryError, local_map
from eval.measures.geometry.piecewise_linear import Program
from eval.measures.statistics.rank_correlation import image_rank_correlation
from eval.scores import Score
from vision_codes.lenses.polytopes.results import MapsRow

MOST_IMAGES = 40
LEAST_IMAGES = 3


def maps_row(
    tail: Program,
    layer: str,
    activations: Tensor,
    distances: np.ndarray,
    *,
    probes: int,
    seed: int,
    network: str = "trained",
) -> tuple[MapsRow, dict[str, np.ndarray]]:
    """Rank correlation of both distances over pairs of images [Black et al. 2022, footnote].

    Args:
        tail: the network after `layer`. activations: ``[image ...]`` there; at most 40 images are used, drawn by seed.
        distances: Hamming distances of codes ``[image image]``. probes: random directions of the output whose
            pull-backs stand for the map (their mean squared distance estimates the Frobenius distance).
        network: the name that the row carries.

    Returns:
        the row, and `hamming` and `frobenius` ``[pair]``. Images on a wall between polytopes are left out and counted:
        units of an untrained network can be exactly 0.
    """
    count = min(len(activations), MOST_IMAGES)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(activations))[:count])
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn((probes, *tail.output_shape), generator=generator)
    rows = [_pulled_back(tail, point, directions) for point in activations[torch.as_tensor(chosen)]]
    mapped = [place for place, row in enumerate(rows) if row is not None]
    kept = torch.stack([row for row in rows if row is not None]) if mapped else torch.zeros(0, 1)
    frobenius = torch.cdist(kept, kept).numpy() / probes**0.5
    hamming = distances[np.ix_(chosen[mapped], chosen[mapped])]
    upper, n = np.triu_indices(len(mapped), 1), len(mapped)
    reason = f"{count - n} of {count} images lie on walls between polytopes, where no single map is"
    few = n < LEAST_IMAGES and n < count
    score = Score.undefined(reason, n) if few else image_rank_correlation(hamming, frobenius, seed)
    row = MapsRow(layer, n, probes, score, network, count - n)
    return row, {"hamming": hamming[upper], "frobenius": frobenius[upper]}


def _pulled_back(tail: Program, point: Tensor, directions: Tensor) -> Tensor | None:
    """The directions through the map of a point's polytope; none on a wall between polytopes."""
    try:
        return local_map(tail, point).vjp(directions).flatten()
    except BoundaryError:
        return None
