"""How much of a moving stimulus can be read off a projection? Linear readouts, held out arc by arc. [MK Fig. 4, 6]

Axis glossary: ``arc`` a stretch of the closed path, ``draw`` random projections, ``frame``, ``dimension`` of a
projection (3), ``stimulus`` components of what is read.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from eval.errors import UserError

N_ARCS = 8


def arc_masks(n_frames: int, n_arcs: int = N_ARCS) -> Bool[np.ndarray, "arc frame"]:
    """One mask per arc of the circle: each arc is held out once (interleaved frames would be read off neighbours)."""
    return np.arange(n_arcs)[:, None] == np.arange(n_frames) * n_arcs // n_frames


def explained_variances(
    paths: Float[np.ndarray, "draw frame dimension"],
    stimulus: Float[np.ndarray, "frame stimulus"],
    held_out: Bool[np.ndarray, "fold frame"] | None = None,
) -> Float[np.ndarray, " draw"]:
    """`eval.measures.projections.projection.explained_variance` of many projections at once, pooled over folds (arcs).

    1 - (residual over all held-out frames) / (their variation about the training means); 1 is perfect, 0 no better than
    the training mean. A stimulus with more components than frames is rotated into its own subspace, which changes
    nothing.

    Raises:
        UserError: a stimulus that does not vary.
    """
    folds = arc_masks(paths.shape[1]) if held_out is None else held_out
    target = stimulus - stimulus.mean(0)
    if target.shape[1] > len(target):
        values, vectors = np.linalg.eigh(target @ target.T)
        target = vectors * np.sqrt(np.maximum(values, 0))
    scale = np.abs(paths).max(axis=(1, 2), keepdims=True)
    design = np.concatenate([paths / np.where(scale > 0, scale, 1), np.ones((*paths.shape[:2], 1))], axis=2)
    ridge = 1e-12 * np.eye(design.shape[2]) * paths.shape[1]  # a projection that stands still: 0/0 becomes 0
    gram, cross = _products(design, target)
    residual, total = np.zeros(len(paths)), 0.0
    for test in folds:  # the sums over training frames are those over all frames less those over held-out ones
        test_gram, test_cross = _products(design[:, test], target[test])
        weights = np.linalg.solve(gram - test_gram + ridge, cross - test_cross)
        residual += np.square(target[test]).sum()
        residual += ((test_gram @ weights - 2 * test_cross) * weights).sum((1, 2))
        total += float(np.square(target[test] - target[~test].mean(0)).sum())
    if total <= 1e-20:
        raise UserError("expected a stimulus that varies; got a constant one; give it a radius or contrast above 0")
    return 1 - residual / total


def _products(
    design: Float[np.ndarray, "draw frame column"], target: Float[np.ndarray, "frame stimulus"]
) -> tuple[Float[np.ndarray, "draw column column"], Float[np.ndarray, "draw column stimulus"]]:
    """Sums over frames of design design^T and design target^T, the second as one product of matrices."""
    columns = design.transpose(0, 2, 1)
    cross = columns.reshape(-1, columns.shape[2]) @ target
    return columns @ design, cross.reshape(*columns.shape[:2], -1)
