"""Exact crossings of one normalise-then-linear block along a residual segment, in closed form.

On x(t) = (1-t) a + t b the pre-activation of neuron i behind a LayerNorm is
z_i(t) = u_i(t) / sigma(t) + c_i with u_i(t) = w_i . (gamma * (x - mean x)) linear in t, c_i = w_i . beta + bias_i, and
sigma^2(t) = var x(t) + epsilon a quadratic. z_i = 0 means u_i = -c_i sigma; squared, a quadratic, so a neuron switches
at most twice. RMSNorm is the same without the mean.

Axis glossary: ``width`` of the residual stream, ``neuron``, ``two`` the roots of a neuron.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from eval.errors import UserError
from eval.measures.geometry.segments import Crossings as SegmentCrossings


@dataclass(frozen=True)
class Crossings:
    """roots: where each neuron switches, t in (0, 1), rising, NaN where it does not `[neuron, two]`; length of the
    segment. The count is exact for this block."""

    roots: Float[np.ndarray, "neuron two"]
    length: float
    kind: str = "exact"

    @property
    def count(self) -> int:
        """Boundaries crossed; a neuron that switches on and off again counts twice."""
        return int(np.isfinite(self.roots).sum())

    @property
    def density(self) -> float:
        """Boundaries crossed per unit length."""
        return self.count / self.length


def layer_norm_crossings(
    start: Shaped[np.ndarray, " width"],
    end: Shaped[np.ndarray, " width"],
    weight: Shaped[np.ndarray, "neuron width"],
    bias: Shaped[np.ndarray, " neuron"],
    *,
    scale: Shaped[np.ndarray, " width"] | None = None,
    offset: Shaped[np.ndarray, " width"] | None = None,
    epsilon: float = 1e-5,
    centre: bool = True,
) -> Crossings:
    """Which neurons of act(W norm(x) + b) switch between two residual vectors, and where? Exact, float64.

    Args:
        start, end: two residual vectors before the normalisation.
        weight, bias: of the linear layer behind it.
        scale, offset: gamma and beta of the normalisation (`None`: 1 and 0).
        epsilon: of the normalisation.
        centre: LayerNorm; `False` for RMSNorm.

    Raises:
        UserError: a segment of length zero (crossings undefined), non-finite values.
    """
    a, b, w = (np.asarray(x, dtype=np.float64) for x in (start, end, weight))
    if not all(np.isfinite(x).all() for x in (a, b, w)):
        raise UserError("expected finite vectors and weights; got NaN or infinity; check the activations")
    length = float(np.linalg.norm(b - a))
    if length == 0:
        raise UserError("expected two different points; got a segment of length zero; its density is undefined")
    constant = np.asarray(bias, dtype=np.float64) + (0.0 if offset is None else w @ np.asarray(offset, np.float64))
    w = w if scale is None else w * np.asarray(scale, np.float64)
    if centre:
        a, b = a - a.mean(), b - b.mean()
    step = b - a
    p, q = w @ a, w @ step
    s0, s1, s2 = (float(np.mean(x)) for x in (a * a, 2 * a * step, step * step))
    s0 += epsilon

    def value(t: np.ndarray) -> np.ndarray:
        return p[:, None] + q[:, None] * t + constant[:, None] * np.sqrt(np.maximum(s0 + s1 * t + s2 * t * t, 0))

    c2 = constant * constant
    roots = _quadratic_roots(q * q - c2 * s2, 2 * p * q - c2 * s1, p * p - c2 * s0)
    inside = (roots > 0) & (roots < 1)
    safe = np.where(inside, roots, 0.5)
    opposite = (p[:, None] + q[:, None] * safe) * constant[:, None] <= 0  # u = -c sigma, not u = +c sigma
    roots = np.sort(np.where(inside & opposite, roots, np.nan), axis=1)
    return Crossings(_only_sign_changes(roots, value), length)


def _quadratic_roots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Real roots of a t^2 + b t + c, `[..., two]`, NaN where there is none; stable for small a."""
    with np.errstate(divide="ignore", invalid="ignore"):
        q = -0.5 * (b + np.where(b >= 0, 1.0, -1.0) * np.sqrt(b * b - 4 * a * c))
        first, second = q / a, c / q
    roots = np.stack([np.where(np.isfinite(first), first, np.nan), np.where(np.isfinite(second), second, np.nan)], -1)
    return roots


def _only_sign_changes(roots: np.ndarray, value) -> np.ndarray:
    """Drop roots at which a neuron touches zero without switching (a double root)."""
    first, second = roots[:, :1], roots[:, 1:]
    both = np.isfinite(second)
    between = np.where(both, (first + second) / 2, np.where(np.isfinite(first), (first + 1) / 2, 0.5))
    before = value(np.where(np.isfinite(first), first / 2, 0.25)) > 0
    middle = value(between) > 0
    after = value(np.where(both, (second + 1) / 2, 1.0)) > 0
    kept_first = np.where(np.isfinite(first) & (before != middle), first, np.nan)
    kept_second = np.where(both & (middle != after), second, np.nan)
    return np.sort(np.concatenate([kept_first, kept_second], axis=1), axis=1)


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
) -> SegmentCrossings:
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
    if np.array_equal(x0, x1):
        none = np.zeros(0, dtype=np.int64)
        return SegmentCrossings(np.zeros(0), none, none, none, none, sites=(site,), length=0.0)
    found = layer_norm_crossings(x0, x1, w, b, scale=gain, offset=shift, epsilon=epsilon, centre=centred)
    units, which = np.nonzero(np.isfinite(found.roots))
    times = found.roots[units, which]
    c0, c1 = (x0 - x0.mean(), x1 - x1.mean()) if centred else (x0, x1)
    first = np.where(np.isfinite(found.roots[:, 0]), found.roots[:, 0] / 2, 0.5)
    scaled = w if gain is None else w * np.asarray(gain, dtype=np.float64)
    constant = b if shift is None else b + w @ np.asarray(shift, dtype=np.float64)
    stream = c0 + first[:, None] * (c1 - c0)
    sigma = np.sqrt(np.mean(stream * stream, axis=1) + epsilon)
    starts_on = np.einsum("uw,uw->u", scaled, stream) + constant * sigma > 0
    before = starts_on[units] ^ (which % 2 == 1)
    order = np.argsort(times, kind="stable")
    zero = np.zeros(len(order), dtype=np.int64)
    flips = [np.asarray(v, dtype=np.int64)[order] for v in (units, before, ~before)]
    return SegmentCrossings(times[order], zero, *flips, sites=(site,), length=found.length)
