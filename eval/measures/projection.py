"""Random projections of a trajectory, their action, and the smoothest directions.

Question: is the code smooth, seen through a random three-dimensional window?

    z = A r,  A [frame width], r [width dimension],  r_ij ~ N(0, 1/m)      [MK eq. 4]
    action(z) = 1/(2 dt) sum_t ||z_{t+1} - z_t||^2
    E_r[action] = k/(2 m dt) sum_t ||A_{t+1} - A_t||^2,   k dimensions, m = width

The printed equation takes the trace of the covariance; the action is the second moment of *differences* (the paper
drops the derivative, and E[r r^T] = (k/m) I). Everything here follows from two matrices that add up over trajectories:

    D = sum_t (A_{t+1} - A_t)^T (A_{t+1} - A_t)      C = sum_t (A_t - mean)^T (A_t - mean)

so a corpus is walked once, and a thousand projections cost one matrix product.

Axis glossary: ``frame`` time, ``width`` units of the site, ``dimension`` axes of the projection, ``projection`` draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh
from scipy.special import zeta

from eval.scores import Score

DIMENSIONS = 3


def random_projections(
    width: int, n_projections: int, dimensions: int = DIMENSIONS, seed: int | np.random.Generator = 0
) -> Float[np.ndarray, "projection width dimension"]:
    """Projections with independent N(0, 1/width) entries [MK eq. 4]."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n_projections, width, dimensions)) / np.sqrt(width)


def difference_moment(frames: Float[np.ndarray, "frame width"]) -> Float[np.ndarray, "width width"]:
    """D = sum_t (A_{t+1} - A_t)^T (A_{t+1} - A_t); zero for fewer than two frames."""
    steps = np.diff(np.asarray(frames, dtype=np.float64), axis=0)
    return steps.T @ steps


def action(projected: Float[np.ndarray, "frame dimension"], dt: float = 1.0) -> float:
    """Action of one projected trajectory, 1/(2 dt) sum ||dz||^2; 0 for a constant one. Lower is smoother."""
    steps = np.diff(np.asarray(projected, dtype=np.float64), axis=0)
    return float((steps**2).sum() / (2 * dt))


def expected_action(
    differences: float | Float[np.ndarray, "width width"], width: int, dimensions: int = DIMENSIONS, dt: float = 1.0
) -> float:
    """Closed form of the action, averaged over projections: k/(2 m dt) sum ||dA||^2.

    Args:
        differences: sum over steps of ||dA||^2, or the matrix D whose trace that is.
        width: m. dimensions: k. dt: time between frames (1 per token; 1/n for n frames of a unit of time).
    """
    total = float(np.trace(differences)) if isinstance(differences, np.ndarray) else float(differences)
    return dimensions * total / (2 * width * dt)


def sampled_actions(
    differences: Float[np.ndarray, "width width"],
    projections: Float[np.ndarray, "projection width dimension"],
    dt: float = 1.0,
) -> Float[np.ndarray, " projection"]:
    """Action of each projection, 1/(2 dt) sum_k r_k^T D r_k: what projecting and differencing would give, exactly."""
    columns = projections.transpose(1, 0, 2).reshape(len(differences), -1)
    quadratic = np.einsum("wc,wc->c", columns, differences @ columns)
    return quadratic.reshape(len(projections), -1).sum(1) / (2 * dt)


def normalised_actions(
    differences: Float[np.ndarray, "width width"],
    covariance: Float[np.ndarray, "width width"],
    projections: Float[np.ndarray, "projection width dimension"],
) -> Float[np.ndarray, " projection"]:
    """Action per variance of each projection, tr(r^T D r) / (2 tr(r^T C r)): does not depend on the scale of r.

    D and C are sums over the same trajectories (not means). 0 is constant in time; white noise gives 1.
    """
    variance = 2 * sampled_actions(covariance, projections)
    return sampled_actions(differences, projections) / variance


def minimum_action_directions(
    differences: Float[np.ndarray, "width width"],
    covariance: Float[np.ndarray, "width width"],
    dimensions: int = DIMENSIONS,
    tolerance: float = 1e-9,
) -> tuple[Float[np.ndarray, "width dimension"], Float[np.ndarray, " dimension"]]:
    """Which directions change most slowly for the variance they carry? Slow feature analysis, exactly.

    Minimises r^T D r / (2 r^T C r) by the generalised eigenproblem D r = 2 lambda C r [Wiskott & Sejnowski 2002]; [MK]
    search the same minimum by drawing. Directions of C below `tolerance` times its largest eigenvalue are left out
    (they carry no variance, and the ratio is 0/0 there).

    Returns:
        directions with r^T C r = 1, and their action per variance, rising; no sampled projection lies below the first.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > tolerance * max(values[-1], np.finfo(float).tiny)
    basis = vectors[:, kept] / np.sqrt(values[kept])
    if basis.shape[1] < dimensions:
        raise ValueError(
            f"expected at least {dimensions} directions with variance, got {basis.shape[1]}; use more frames"
        )
    ratios, inner = eigh(basis.T @ differences @ basis / 2, subset_by_index=(0, dimensions - 1))
    return basis @ inner, np.maximum(ratios, 0.0)


def refinement_slope(
    code: Callable[[int], Float[np.ndarray, "frame width"]], frames: Sequence[int]
) -> tuple[float, Float[np.ndarray, " count"]]:
    """How does the action of a closed unit of time grow as frames are added? d log action / d log n, dt = 1/n.

    0 for a differentiable code; positive where the expected action diverges. For eigenvalues i^alpha on a circle the
    exponent is max(0, 3 - |alpha|) (1.5, .5, 0 at |alpha| = 1.5, 2.5, 3.5) [Stringer 2019: the bound is 1 + 2/d].

    Args:
        code: activations at n evenly spaced frames of the same stimulus.
        frames: the n to try, at least two.
    """
    actions = []
    for n in frames:
        found = np.asarray(code(n), dtype=np.float64)
        steps = np.diff(np.concatenate([found, found[:1]]), axis=0)
        actions.append(expected_action(float((steps**2).sum()), found.shape[1], dt=1.0 / n))
    actions = np.array(actions)
    if np.any(actions <= 0):
        return 0.0, actions
    return float(np.polyfit(np.log(np.asarray(frames, float)), np.log(actions), 1)[0]), actions


def eigenvalue_sum(exponent: float, n_terms: int) -> tuple[float, str]:
    """Total variance of a power-law spectrum: zeta(-alpha) where it converges (alpha < -1), else the partial sum.

    Returns the value and which of the two it is ("zeta" or "partial sum of n").
    """
    if exponent < -1:
        return float(zeta(-exponent)), "zeta"
    return float((np.arange(1, n_terms + 1, dtype=float) ** exponent).sum()), f"partial sum of {n_terms}"


def arc_split(n_frames: int, n_arcs: int = 8) -> Int[np.ndarray, " frame"]:
    """Which arc of the circle each frame lies in: whole arcs are held out, because neighbours are near-copies."""
    return np.arange(n_frames) * n_arcs // n_frames


def explained_variance(
    projected: Float[np.ndarray, "frame dimension"],
    stimulus: Float[np.ndarray, "frame stimulus"],
    arcs: np.ndarray | None = None,
) -> Score:
    """How much of the stimulus can be read off the projection? Held-out R^2 of the least-squares map z -> stimulus.

    Every arc is held out once [MK Fig. 6d, with arcs instead of interleaved frames]. 1 is perfect; 0 is the training
    mean; negative is worse than that. Undefined where the stimulus does not vary.
    """
    arcs = arc_split(len(projected)) if arcs is None else np.asarray(arcs)
    design = np.column_stack([projected, np.ones(len(projected))])
    residual = total = 0.0
    for arc in np.unique(arcs):
        test = arcs == arc
        weights, *_ = np.linalg.lstsq(design[~test], stimulus[~test], rcond=None)
        residual += float(((stimulus[test] - design[test] @ weights) ** 2).sum())
        total += float(((stimulus[test] - stimulus[~test].mean(0)) ** 2).sum())
    if total <= 0:
        return Score.undefined("the stimulus does not vary", len(projected))
    return Score(
        1 - residual / total, n=len(projected), interval_reason="one trajectory; resample projections or seeds"
    )
