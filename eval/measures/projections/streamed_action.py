"""Action of a code along many trajectories, from two matrices that add up in one pass.

`eval.measures.projections.projection` holds the same measures for one trajectory in memory. Over a corpus,

    D = sum_t (A_{t+1} - A_t)^T (A_{t+1} - A_t)        C = sum_t (A_t - mean)^T (A_t - mean)

are enough: the closed form is a trace, a thousand projections are one matrix product, and the smoothest directions are
a generalised eigenproblem [MK eq. 4, corrected: see `projection`].

Axis glossary: ``width`` units of the site, ``dimension`` axes of the projection, ``draw`` projections.
"""

from __future__ import annotations

import numpy as np
from einops import rearrange, reduce
from jaxtyping import Float
from scipy.linalg import eigh

from eval.errors import UserError


def expected_action(differences: Float[np.ndarray, "width width"], n_dimensions: int = 3, dt: float = 1.0) -> float:
    """Action averaged over projections, k/(2 m dt) tr D. Lower is smoother; 0 for codes that stand still."""
    return n_dimensions * float(np.trace(differences)) / (2 * len(differences) * dt)


def sampled_actions(
    differences: Float[np.ndarray, "width width"],
    projections: Float[np.ndarray, "draw width dimension"],
    dt: float = 1.0,
) -> Float[np.ndarray, " draw"]:
    """Action of each projection, 1/(2 dt) sum_k r_k^T D r_k: what projecting and differencing would give, exactly."""
    columns = rearrange(projections, "draw width dimension -> width (draw dimension)")
    quadratic = np.einsum("wc,wc->c", columns, differences @ columns)
    return reduce(quadratic, "(draw dimension) -> draw", "sum", draw=len(projections)) / (2 * dt)


def normalised_actions(
    differences: Float[np.ndarray, "width width"],
    covariance: Float[np.ndarray, "width width"],
    projections: Float[np.ndarray, "draw width dimension"],
) -> Float[np.ndarray, " draw"]:
    """Action per variance of each projection, tr(r^T D r) / (2 tr(r^T C r)): does not depend on the scale of r.

    D and C are sums over the same trajectories. 0 is constant in time; white noise gives 1.
    """
    return sampled_actions(differences, projections) / (2 * sampled_actions(covariance, projections))


def minimum_action_directions(
    differences: Float[np.ndarray, "width width"],
    covariance: Float[np.ndarray, "width width"],
    n_dimensions: int = 3,
    tolerance: float = 1e-9,
) -> tuple[Float[np.ndarray, "width dimension"], Float[np.ndarray, " dimension"]]:
    """Which directions change most slowly for the variance they carry? Slow feature analysis, exactly.

    Minimises r^T D r / (2 r^T C r) [Wiskott & Sejnowski 2002; MK search the same minimum by drawing]. Directions of C
    below ``tolerance`` times its largest eigenvalue carry no variance and are left out.

    Returns:
        directions with r^T C r = 1, and their action per variance, rising; no sampled projection lies below the first.

    Raises:
        UserError: fewer than ``n_dimensions`` directions with variance.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > tolerance * max(values[-1], np.finfo(float).tiny)
    basis = vectors[:, kept] / np.sqrt(values[kept])
    if basis.shape[1] < n_dimensions:
        raise UserError(
            f"expected at least {n_dimensions} directions with variance, got {basis.shape[1]}; read more text"
        )
    ratios, inner = eigh(basis.T @ differences @ basis / 2, subset_by_index=(0, n_dimensions - 1))
    return basis @ inner, np.maximum(ratios, 0.0)
