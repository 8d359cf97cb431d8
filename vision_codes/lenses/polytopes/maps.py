"""Does the Hamming distance of two images' codes track the distance of the affine maps in their polytopes?

Axis glossary: ``image``, ``pair`` of images (upper triangle, row by row), ``probe`` random output directions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eval.measures.geometry.affine_maps import local_map
from eval.measures.geometry.piecewise_linear import Program
from eval.measures.statistics.rank_correlation import image_rank_correlation
from vision_codes.lenses.polytopes.results import MapsRow

MOST_IMAGES = 40


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
        the row, and `hamming` and `frobenius` ``[pair]``.
    """
    count = min(len(activations), MOST_IMAGES)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(activations))[:count])
    points = activations[torch.as_tensor(chosen)]
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn((probes, *tail.output_shape), generator=generator)
    rows = torch.stack([local_map(tail, point).vjp(directions).flatten() for point in points])
    frobenius = torch.cdist(rows, rows).numpy() / probes**0.5
    hamming = distances[np.ix_(chosen, chosen)]
    upper = np.triu_indices(count, 1)
    score = image_rank_correlation(hamming, frobenius, seed)
    return MapsRow(layer, count, probes, score, network), {"hamming": hamming[upper], "frobenius": frobenius[upper]}
