"""Does a spectrum fall in steps? Residual about its power law, and the largest drop beyond the line's own. [MK Fig. 5]

Axis glossary: ``index`` eigenvalues in falling order (1-based).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eval.measures.spectra.power_law import INDEX_RANGE, fit_power_law
from eval.result_json import noted
from eval.results import Result, result


@result
class Step(Result):
    """The largest step of a spectrum; all undefined, with the reason, where the power-law fit is.

    residual: root mean square of log eigenvalues about the line over the fitted indices. largest_step: in natural log,
    0 for an exact power law. largest_step_index: the eigenvalue before the drop.
    """

    residual: float | None
    largest_step: float | None
    largest_step_index: int | None
    largest_step_reason: str | None = noted(default=None, when_set=True)


def step_of(eigenvalues: Float[np.ndarray, " index"], index_range: tuple[int, int] = INDEX_RANGE) -> Step:
    """The largest drop beyond the line's own.

    The drop is log(lambda_i / lambda_{i+1}) - |alpha| log((i+1) / i) over i = 2 .. 2 * last - 1; an exact power law has
    0 everywhere. Undefined where the fit is.
    """
    last = 2 * index_range[1]
    positive = int(np.sum(np.cumprod(np.asarray(eigenvalues) > 1e-12 * max(float(eigenvalues[0]), 1e-300))))
    if positive < index_range[1] + 1:
        reason = f"{positive} positive eigenvalues; the fit needs index {index_range[1]}"
        return Step(None, None, None, reason)
    fit = fit_power_law(np.asarray(eigenvalues), index_range)
    index = np.arange(1, positive + 1)
    logs = np.log(eigenvalues[:positive])
    first, end = index_range
    line = fit.intercept + fit.exponent * np.log(index)
    residual = float(np.sqrt(np.mean((logs - line)[first - 1 : end] ** 2)))
    drops = -np.diff(logs) + fit.exponent * np.diff(np.log(index))
    within = drops[1 : min(last, positive) - 1]
    largest = int(np.argmax(within))
    return Step(residual, float(within[largest]), largest + 2)
