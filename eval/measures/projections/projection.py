"""How smooth is a code along a trajectory? Random projections, their action, and the smoothest projections there are.

A trajectory A[frame, width] is a path of activations (frames of a stimulus, or the tokens of a text, which then are the
time axis). A projection z = A r with r ~ N(0, 1/m) draws it in k dimensions (3 by default).

Axis glossary: ``frame`` time steps, ``width`` components m, ``dimension`` of the projection (k), ``draw`` projections.

Source: Marshall & Kirchner 2023, eq. 4 and figures 4 and 6. The printed expectation is wrong (it drops the time
derivative, and E[r r^T] = (k/m) I): what counts is the second moment of *differences*, not the trace of the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, Real
from scipy.linalg import eigh

from eval.errors import UserError


@dataclass(frozen=True)
class MinimumAction:
    """The smoothest directions of a trajectory: ``directions[width, k]`` with unit variance, slowest first.

    action_per_variance: action of each direction's projection over its variance, rising; no projection of unit total
        variance can have less action than the first.
    """

    directions: Float[np.ndarray, "width dimension"]
    action_per_variance: Float[np.ndarray, " dimension"]


def _differences(trajectory: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    trajectory = np.asarray(trajectory, dtype=float)
    if trajectory.ndim != 2 or len(trajectory) < 2:
        raise UserError(f"expected a trajectory [frame >= 2, width]; got {list(trajectory.shape)}; pass frames as rows")
    if not dt > 0:
        raise UserError(f"expected dt > 0; got {dt}; pass the time between frames")
    if not np.isfinite(trajectory).all():
        raise UserError("expected finite activations along the trajectory; got NaN or infinite values; check the model")
    return trajectory, np.diff(trajectory, axis=0)


def random_projections(
    width: int, n_draws: int, n_dimensions: int = 3, seed: int | np.random.Generator = 0
) -> Float[np.ndarray, "draw width dimension"]:
    """Projection matrices with independent entries N(0, 1/width). [MK eq. 4]"""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n_draws, width, n_dimensions)) / np.sqrt(width)


def action(path: Float[np.ndarray, "*draw frame dimension"], dt: float = 1.0) -> Float[np.ndarray, "*draw"]:
    """How much does a drawn path move? 1/2 int |dz/dt|^2 dt = sum_t |z_{t+1} - z_t|^2 / (2 dt).

    At least 0 (a path that stands still); smaller is smoother. Units: squared activation over time.
    """
    return np.asarray(np.sum(np.diff(path, axis=-2) ** 2, axis=(-2, -1)) / (2 * dt))


def expected_action(trajectory: Float[np.ndarray, "frame width"], dt: float = 1.0, n_dimensions: int = 3) -> float:
    """What is the action of a random projection on average? Closed form, exact over r. [MK eq. 4, corrected]

        E = k / (2 m dt) sum_t |A_{t+1} - A_t|^2

    Raises:
        UserError: fewer than two frames, dt <= 0, values that are not finite.
    """
    trajectory, steps = _differences(trajectory, dt)
    return float(n_dimensions / (2 * trajectory.shape[1] * dt) * np.sum(steps**2))


def sampled_actions(
    trajectory: Float[np.ndarray, "frame width"],
    n_draws: int = 1000,
    dt: float = 1.0,
    n_dimensions: int = 3,
    seed: int | np.random.Generator = 0,
) -> Float[np.ndarray, " draw"]:
    """The action of each of many random projections; their mean estimates ``expected_action``. Errors as there."""
    trajectory, steps = _differences(trajectory, dt)
    generator = np.random.default_rng(seed)
    actions = [
        np.sum((steps @ random_projections(steps.shape[1], 1, n_dimensions, generator)[0]) ** 2) for _ in range(n_draws)
    ]
    return np.asarray(actions) / (2 * dt)


def action_per_trace(trajectory: Float[np.ndarray, "frame width"], dt: float = 1.0, n_dimensions: int = 3) -> float:
    """Action relative to the size of the code: ``expected_action`` over the trace of the covariance of the frames.

    Scale-free, so that layers can be compared. NaN for a trajectory that does not move.
    """
    trace = float(np.var(np.asarray(trajectory, dtype=float), axis=0).sum())
    return expected_action(trajectory, dt, n_dimensions) / trace if trace > 0 else float("nan")


def minimum_action(
    trajectory: Float[np.ndarray, "frame width"], dt: float = 1.0, n_dimensions: int = 3, tolerance: float = 1e-10
) -> MinimumAction:
    """Which directions move least for the variance they carry? Exact: slow feature analysis. [Wiskott & Sejnowski 2002]

    The generalised eigenproblem  D r = mu C r, with D = sum_t dA dA^T / (2 dt) and C the covariance (divisor: frames),
    in the span of the trajectory (directions with variance above ``tolerance`` of the largest). mu is the action of the
    projection with unit variance along r. [MK] look for it among many random draws, none of which can be below it.

    Raises:
        UserError: see ``expected_action``; or a span with fewer than ``n_dimensions`` directions.
    """
    trajectory, steps = _differences(trajectory, dt)
    centred = trajectory - trajectory.mean(0)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    kept = singular > np.sqrt(tolerance) * max(singular[0], 1e-300)
    if kept.sum() < n_dimensions:
        raise UserError(
            f"expected a trajectory that spans at least {n_dimensions} directions; got {int(kept.sum())}; "
            "use more frames or fewer dimensions"
        )
    whitening = rows[kept].T / singular[kept] * np.sqrt(len(trajectory))
    moved = steps @ whitening
    values, vectors = eigh(moved.T @ moved / (2 * dt), subset_by_index=[0, n_dimensions - 1])
    return MinimumAction(whitening @ vectors, np.maximum(values, 0.0))


def action_per_variance(
    trajectory: Float[np.ndarray, "frame width"],
    directions: Float[np.ndarray, "*draw width dimension"],
    dt: float = 1.0,
) -> Float[np.ndarray, "*draw"]:
    """Action over variance of given projections: the measure ``minimum_action`` minimises. NaN without variance."""
    paths = np.asarray(trajectory, dtype=float) @ directions
    variance = np.var(paths, axis=-2).sum(-1)
    return np.where(variance > 0, action(paths, dt) / np.where(variance > 0, variance, 1), np.nan)


def refinement_slope(frame_counts: Real[np.ndarray, " run"], actions: Real[np.ndarray, " run"]) -> float:
    """Does the action converge as the same trajectory is sampled more finely? Slope of log action on log frames.

    0 for a smooth (differentiable) code; above 0 the action grows without bound. For a power-law code on a circle with
    eigenvalue exponent -a it is max(0, 3 - a): 1.5/.5/0 at a = 1.5/2.5/3.5 (the bound is 3 for one dot on a circle, not
    1: alpha = -1 marks finite variance). Total time fixed, so dt = time / frames.

    Raises:
        UserError: fewer than two runs, or a run that is not positive.
    """
    counts, actions = np.asarray(frame_counts, dtype=float), np.asarray(actions, dtype=float)
    if counts.size < 2 or counts.shape != actions.shape or not (np.all(counts > 0) and np.all(actions > 0)):
        raise UserError("expected at least two positive (frames, action) pairs; got fewer; sample the trajectory finer")
    return float(np.polyfit(np.log(counts), np.log(actions), 1)[0])


def total_variance(exponent: float, width: int) -> tuple[float, str]:
    """sum_i i^alpha: zeta(-alpha) for an endless code where that is finite (alpha < -1), else the partial sum to width.

    Returns the value and which of the two it is: ``"zeta"`` or ``"partial sum"``.
    """
    from scipy.special import zeta

    if exponent < -1:
        return float(zeta(-exponent)), "zeta"
    return float(np.sum(np.arange(1, width + 1, dtype=float) ** exponent)), "partial sum"


def circle_code(n_frames: int, width: int, exponent: float, n_turns: float = 1.0) -> Float[np.ndarray, "frame width"]:
    """The reference code of a dot on a circle: pairs (cos k t, sin k t), with variances falling as a power law.

    Columns 2k-2 and 2k-1 hold frequency k with amplitude k^(exponent / 2), t running over ``n_turns`` turns.
    """
    time = np.linspace(0, 2 * np.pi * n_turns, n_frames, endpoint=False)
    frequency = np.arange(1, width // 2 + 1)
    phase = time[:, None] * frequency
    pairs = rearrange([np.cos(phase), np.sin(phase)], "part frame frequency -> frame (frequency part)")
    return pairs * np.repeat(frequency, 2) ** (exponent / 2)


def held_out_arcs(n_frames: int, n_arcs: int = 8, seed: int | np.random.Generator = 0) -> Bool[np.ndarray, " frame"]:
    """Which frames to hold out: half of ``n_arcs`` contiguous arcs (True), at random.

    Interleaved frames would be predicted by their neighbours; arcs are not.
    """
    arc = np.arange(n_frames) * n_arcs // n_frames
    held = np.random.default_rng(seed).permutation(n_arcs)[: n_arcs // 2]
    return np.isin(arc, held)


def explained_variance(
    path: Float[np.ndarray, "frame dimension"],
    stimulus: Float[np.ndarray, "frame pixel"],
    held_out: Bool[np.ndarray, " frame"],
) -> float:
    """How much of the stimulus can be read linearly from a projection? Held-out R^2 of least squares z -> stimulus.

    R^2 = 1 - |s - s_hat|^2 / |s - mean of training s|^2 over held-out frames and all stimulus components. At most 1; 0
    is no better than the training mean, negative is worse. NaN where the held-out stimulus does not vary. [MK Fig. 6d]

    Raises:
        UserError: fewer training frames than dimensions + 2, or no held-out frame.
    """
    held_out = np.asarray(held_out, dtype=bool)
    path, stimulus = np.asarray(path, dtype=float), np.asarray(stimulus, dtype=float)
    if not held_out.any() or (~held_out).sum() < path.shape[1] + 2:
        raise UserError(
            f"expected held-out frames and at least {path.shape[1] + 2} training frames; got {int(held_out.sum())} and "
            f"{int((~held_out).sum())}; use more frames"
        )
    design = np.column_stack([path, np.ones(len(path))])
    weights = np.linalg.lstsq(design[~held_out], stimulus[~held_out], rcond=None)[0]
    residual = np.sum((stimulus[held_out] - design[held_out] @ weights) ** 2)
    total = np.sum((stimulus[held_out] - stimulus[~held_out].mean(0)) ** 2)
    return float(1 - residual / total) if total > 0 else float("nan")
