"""How steep is an eigenspectrum? Huber regression of log eigenvalue on log index, and the alternatives to a power law.

Axis glossary: ``index`` eigenvalues in falling order (1 is the largest), ``spectrum`` any leading batch of spectra.

Source: Marshall & Kirchner 2023, Methods; Huber & Ronchetti 2009, section 7.7 (joint scale, as in scikit-learn's
``HuberRegressor``, which is the oracle of the tests; the iteration here is vectorised over spectra because the
simulations behind the corrected exponent fit hundreds of them).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eval.errors import UserError

INDEX_RANGE = (10, 50)
"""[MK]'s fit range: 1-based, both ends included."""
HUBER_EPSILON = 1.35
MAXIMUM_ITERATIONS = 500


@dataclass(frozen=True)
class PowerLawFit:
    """log lambda_i = intercept + exponent * log i on an index range.

    exponent: alpha; negative for a falling spectrum, steeper is more negative.
    intercept: log eigenvalue extrapolated to index 1.
    r2: share of the variance of log lambda_i over the range that the line explains; 1 is a perfect power law.
    index_range: 1-based, inclusive.
    """

    exponent: float
    intercept: float
    r2: float
    index_range: tuple[int, int]


@dataclass(frozen=True)
class BrokenPowerLaw:
    """A continuous line with one kink, against the straight line, by BIC (least squares, Gaussian errors).

    exponents: below and above the kink. break_index: 1-based index of the kink.
    delta_bic: BIC(straight) - BIC(broken); above 10 is strong evidence *for* the kink. Neighbouring eigenvalues are not
        independent, so read it as a ranking of sites rather than as a test.
    """

    exponents: tuple[float, float]
    break_index: int
    delta_bic: float


def log_range(
    eigenvalues: Float[np.ndarray, "*spectrum index"], index_range: tuple[int, int] = INDEX_RANGE
) -> tuple[Float[np.ndarray, " fitted"], Float[np.ndarray, "*spectrum fitted"]]:
    """The points of the fit: log index and log eigenvalue over ``index_range``.

    Raises:
        UserError: a bad range, a spectrum shorter than its end, or an eigenvalue that is not positive inside it.
    """
    first, last = index_range
    if not 1 <= first or last - first < 2:
        raise UserError(f"expected index_range (first >= 1, last >= first + 2); got {index_range}; use (10, 50)")
    if eigenvalues.shape[-1] < last:
        raise UserError(
            f"expected at least {last} eigenvalues for index_range {index_range}; got {eigenvalues.shape[-1]}; "
            "use a wider site or a shorter range"
        )
    fitted = np.asarray(eigenvalues, dtype=float)[..., first - 1 : last]
    if not np.all(fitted > 0):
        raise UserError(
            f"expected positive eigenvalues over indices {first}..{last}; got a smallest of {fitted.min():.3g}; "
            "use more tokens or a shorter range"
        )
    return np.log(np.arange(first, last + 1)), np.log(fitted)


def huber_line(
    x: Float[np.ndarray, " point"], y: Float[np.ndarray, "*spectrum point"], tolerance: float = 1e-10
) -> tuple[Float[np.ndarray, "*spectrum"], Float[np.ndarray, "*spectrum"]]:
    """Slopes and intercepts of Huber's robust line with jointly estimated scale (epsilon 1.35), for many y at once.

    Minimises sum_i [sigma + H((y_i - a - b x_i) / sigma) sigma] by iteratively reweighted least squares. On points that
    lie exactly on a line the least-squares line is returned.
    """
    y = np.asarray(y, dtype=float)
    weights = np.ones_like(y)
    scale_floor = 1e-12 * (1 + np.abs(y).max())
    sigma = np.std(y, axis=-1, keepdims=True)
    slope = np.full(y.shape[:-1], np.inf)
    for _ in range(MAXIMUM_ITERATIONS):
        previous, total = slope, weights.sum(-1)
        mean_x, mean_y = (weights * x).sum(-1) / total, (weights * y).sum(-1) / total
        centred = x - mean_x[..., None]
        slope = (weights * centred * y).sum(-1) / (weights * centred**2).sum(-1)
        intercept = mean_y - slope * mean_x
        if np.all(np.abs(slope - previous) <= tolerance * (1 + np.abs(slope))):
            break
        residual = np.abs(y - intercept[..., None] - slope[..., None] * x)
        for _ in range(3):
            outside = residual > HUBER_EPSILON * sigma
            inside_sum = np.where(outside, 0.0, residual**2).sum(-1, keepdims=True)
            left = x.size - HUBER_EPSILON**2 * outside.sum(-1, keepdims=True)
            sigma = np.where(left > 0, np.sqrt(inside_sum / np.maximum(left, 1e-9)), 2 * sigma)
            sigma = np.maximum(sigma, scale_floor)
        weights = np.minimum(1.0, HUBER_EPSILON * sigma / np.maximum(residual, scale_floor))
    return np.asarray(slope), np.asarray(intercept)


def power_law_exponent(
    eigenvalues: Float[np.ndarray, "*spectrum index"], index_range: tuple[int, int] = INDEX_RANGE
) -> Float[np.ndarray, "*spectrum"]:
    """Which exponent alpha fits lambda_i ~ i^alpha? Huber regression over ``index_range``; alpha < 0. [MK Methods]

    Raises:
        UserError: see ``log_range``.
    """
    return huber_line(*log_range(eigenvalues, index_range))[0]


def fit_power_law(eigenvalues: Float[np.ndarray, " index"], index_range: tuple[int, int] = INDEX_RANGE) -> PowerLawFit:
    """The exponent with its intercept and R^2. R^2 of a flat spectrum (no variance to explain) is 1. See the class."""
    x, y = log_range(eigenvalues, index_range)
    slope, intercept = huber_line(x, y)
    spread = np.sum((y - y.mean()) ** 2)
    r2 = 1 - np.sum((y - intercept - slope * x) ** 2) / spread if spread > 1e-20 else 1.0
    return PowerLawFit(float(slope), float(intercept), float(r2), index_range)


def range_sensitivity(
    eigenvalues: Float[np.ndarray, " index"], index_range: tuple[int, int] = INDEX_RANGE
) -> dict[tuple[int, int], float]:
    """How much does alpha depend on where we fit? Exponents on ranges from half to twice each end, where they exist."""
    first, last = index_range
    positive = int(np.sum(np.cumprod(np.asarray(eigenvalues) > 0)))
    ranges = [(a, b) for a in (max(1, first // 2), first, 2 * first) for b in (last // 2, last, 2 * last)]
    return {r: float(power_law_exponent(eigenvalues, r)) for r in ranges if r[1] - r[0] >= 4 and r[1] <= positive}


def curvature(eigenvalues: Float[np.ndarray, " index"], index_range: tuple[int, int] = INDEX_RANGE) -> float:
    """Does the spectrum bend? Quadratic coefficient of log lambda in (log i - mean log i); 0 for a power law, negative
    when it falls ever faster (exponential-like), positive when it flattens."""
    x, y = log_range(eigenvalues, index_range)
    return float(np.polyfit(x - x.mean(), y, 2)[0])


def broken_power_law(
    eigenvalues: Float[np.ndarray, " index"], index_range: tuple[int, int] = INDEX_RANGE
) -> BrokenPowerLaw:
    """Would two power laws joined at a kink describe the spectrum better than one? Kink by exhaustive search.

    BIC = n log(SSE / n) + k log n, with k = 2 for the line and 4 for the kinked line (two slopes, level, kink).

    Raises:
        UserError: fewer than 8 indices in the range, or see ``log_range``.
    """
    x, y = log_range(eigenvalues, index_range)
    if x.size < 8:
        raise UserError(f"expected at least 8 indices for a broken power law; got {index_range}; use a longer range")
    floor = 1e-20 * x.size

    def least_squares(design: np.ndarray) -> tuple[np.ndarray, float]:
        coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
        return coefficients, float(np.sum((y - design @ coefficients) ** 2)) + floor

    _, straight = least_squares(np.column_stack([np.ones_like(x), x]))
    kinks = range(3, x.size - 3)
    fits = [least_squares(np.column_stack([np.ones_like(x), x, np.maximum(x - x[k], 0)])) for k in kinks]
    best = int(np.argmin([error for _, error in fits]))
    coefficients, broken = fits[best]
    delta = x.size * np.log(straight / broken) - 2 * np.log(x.size)
    exponents = float(coefficients[1]), float(coefficients[1] + coefficients[2])
    return BrokenPowerLaw(exponents, index_range[0] + kinks[best], float(delta))
