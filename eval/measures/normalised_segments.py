"""Exact crossings of one LayerNorm -> Linear block along a segment of its input: closed form, no sampling.

Axis glossary: ``unit`` rows of the linear layer, ``width`` of the residual stream, ``root`` at most two per unit.

Along x(t) = x0 + t (x1 - x0) the centred stream c(t) is linear and the variance sigma^2(t) = |c(t)|^2 / width + epsilon
is quadratic in t. Unit i is on where ``w_i . (gain * c(t)) / sigma(t) + w_i . shift + b_i > 0``, that is where
``p_i + q_i t + k_i sigma(t) > 0``; squaring gives a quadratic whose spurious root is dropped by its sign. Beyond one
block (attention, the next layer) there is no closed form: freeze sigma (`frozen`) or sample.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eval.errors import UserError
from eval.measures.geometry.segments import Crossings


def normalised_crossings(
    start: Float[np.ndarray, ...],  # shapes are checked below, with a line that names them
    end: Float[np.ndarray, ...],
    weight: Float[np.ndarray, ...],
    bias: Float[np.ndarray, ...],
    *,
    gain: Float[np.ndarray, " width"] | None = None,
    shift: Float[np.ndarray, " width"] | None = None,
    epsilon: float = 1e-5,
    centred: bool = True,
    site: str = "mlp",
) -> Crossings:
    """Which neurons of a normalised MLP flip between two residual-stream vectors, and where? Exact.

    Args:
        start, end: the residual stream at both ends, ``[width]``.
        weight ``[unit width]``, bias ``[unit]``: the first linear layer, pre-activation = weight @ norm(x) + bias.
        gain, shift: of the normalisation (ones and zeros by default); epsilon: added to the variance.
        centred: True for LayerNorm, False for RMSNorm.

    Returns:
        `Crossings` with ``counting="exact"``; at most two per unit. Scaling x barely moves the code of such a block:
        sigma takes the scale out again. That is not "no boundaries".

    Raises:
        UserError: shapes that do not match, non-finite values, an epsilon below 0.
    """
    x0, x1, w = (np.asarray(v, dtype=np.float64) for v in (start, end, weight))
    b = np.asarray(bias, dtype=np.float64)
    if x0.shape != x1.shape or w.ndim != 2 or w.shape[1] != len(x0) or b.shape != (len(w),):
        raise UserError(
            f"expected start and end [width], weight [unit, width], bias [unit]; got {x0.shape}, {x1.shape}, "
            f"{w.shape}, {b.shape}; pass one vector per end"
        )
    if not all(np.isfinite(v).all() for v in (x0, x1, w, b)) or epsilon < 0:
        raise UserError(f"expected finite values and epsilon >= 0; got NaN, infinity or epsilon={epsilon}")
    c0, c1 = (x0 - x0.mean(), x1 - x1.mean()) if centred else (x0, x1)
    scaled = w if gain is None else w * np.asarray(gain, dtype=np.float64)
    constant = b if shift is None else b + w @ np.asarray(shift, dtype=np.float64)
    step = c1 - c0
    variance = np.array([c0 @ c0, 2 * c0 @ step, step @ step]) / len(x0) + np.array([epsilon, 0, 0])
    return _collect(scaled @ c0, scaled @ step, constant, variance, float(np.linalg.norm(x1 - x0)), site)


def _collect(
    level: np.ndarray, rate: np.ndarray, constant: np.ndarray, variance: np.ndarray, length: float, site: str
) -> Crossings:
    """Sign changes of ``level + rate t + constant sigma(t)`` in (0, 1)."""

    def value(t: np.ndarray, unit: np.ndarray) -> np.ndarray:
        sigma = np.sqrt(np.maximum(variance[0] + variance[1] * t + variance[2] * t**2, 0))
        return level[unit] + rate[unit] * t + constant[unit] * sigma

    square = constant**2
    a = rate**2 - square * variance[2]
    b = 2 * level * rate - square * variance[1]
    c = level**2 - square * variance[0]
    roots = _quadratic_roots(a, b, c)
    times, units, before, after = [], [], [], []
    for unit, pair in enumerate(roots):
        inside = np.unique(pair[(pair > 0) & (pair < 1)])
        edges = np.concatenate([[0.0], inside, [1.0]])
        middles = (edges[:-1] + edges[1:]) / 2
        on = value(middles, np.full(len(middles), unit)) > 0
        for k in np.flatnonzero(on[1:] != on[:-1]):  # a root of the square that is none of the function changes nothing
            times.append(inside[k])
            units.append(unit)
            before.append(int(on[k]))
            after.append(int(on[k + 1]))
    order = np.argsort(times, kind="stable")
    pick = [np.asarray(v, dtype=np.int64)[order] for v in (units, before, after)]
    zero = np.zeros(len(order), dtype=np.int64)
    return Crossings(np.asarray(times, dtype=float)[order], zero, *pick, sites=(site,), length=length)


def _quadratic_roots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Real roots ``[unit 2]`` of a t^2 + b t + c without cancellation; NaN where there is none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        discriminant = b**2 - 4 * a * c
        q = -0.5 * (b + np.where(b >= 0, 1.0, -1.0) * np.sqrt(discriminant))
        first = np.where(a != 0, q / a, np.nan)
        second = np.where(q != 0, c / q, np.where(c == 0, 0.0, np.nan))
    roots = np.stack([first, second], axis=1)
    return np.where(np.isfinite(roots), roots, np.nan)
