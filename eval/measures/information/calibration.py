"""An interval for an estimate of information that contains the estimator's own bias. All values in nats.

How: a distribution near the data, whose information is known (`near_distribution`), is fitted; as many samples as there
are data are drawn from it, `draws` times; the estimator is run on each. What it is wrong by there is what it is taken
to be wrong by here: its mean is the bias, its spread the standard error. Source: parametric bootstrap [Efron &
Tibshirani 1993, chapter 6.5], here for the bias as well.

The interval covers the estimate less that bias, plus the spread, plus two doubts, because a fitted distribution is not
the data's own: half the bias again (a large correction is itself in doubt), and by how much more the estimate moves
with the number of neighbours than it does on the simulated draws (sharp edges, which mixtures of Gaussians lack).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from eval.measures.information.near_distribution import fit_near

XTable = Float[np.ndarray, "sample x_column"]
YTable = Float[np.ndarray, "sample y_column"]
Estimator = Callable[[XTable, YTable, int], float]
"""x, y and the number of neighbours -> nats."""
DRAWS = 20
MOST_CALIBRATED = 2000
"""Samples of a simulated draw at most; with more data than that the bias is an upper limit of the data's."""
DOUBT = 0.5
"""Share of the correction that the interval adds on either side."""


@dataclass(frozen=True)
class Calibrated:
    """raw: the estimate itself; value: less its bias; low, high: 95%; bias and spread as simulated. All in nats."""

    raw: float
    value: float
    low: float
    high: float
    bias: float
    spread: float


def calibrate(
    x: XTable,
    y: YTable,
    estimator: Estimator,
    *,
    symbols: bool = False,
    neighbours: int = 5,
    draws: int = DRAWS,
    seed: int = 0,
) -> Calibrated | None:
    """The estimate on (x, y), with its bias and spread from simulated draws; ``None`` where nothing could be fitted.

    symbols: x is one column of symbols, whose distances mean nothing.
    """
    near = fit_near(x, y, symbols=symbols, seed=seed)
    if near is None:
        return None
    generator = np.random.default_rng(seed)
    n = min(len(x), MOST_CALIBRATED)
    known = near.information(generator)
    simulated = np.array([_both(estimator, *near.draw(n, generator), neighbours) for _ in range(draws)])
    raw, wider = _both(estimator, x, y, neighbours)
    bias = float(simulated[:, 0].mean()) - known
    spread = float(simulated[:, 0].std(ddof=1)) * (n / len(x)) ** 0.5
    half = float(stats.t.ppf(0.975, draws - 1)) * spread * (1 + 1 / draws) ** 0.5
    drift = abs(raw - wider - float(np.subtract(*simulated.T).mean()))
    doubt = DOUBT * abs(bias) + drift
    ends = [raw - bias] if n == len(x) else [raw - bias, raw]  # with more data the bias lies between 0 and this
    return Calibrated(raw, float(np.mean(ends)), min(ends) - half - doubt, max(ends) + half + doubt, bias, spread)


def _both(estimator: Estimator, x: XTable, y: YTable, neighbours: int) -> tuple[float, float]:
    """The estimate, and the one with twice the neighbours."""
    return estimator(x, y, neighbours), estimator(x, y, 2 * neighbours)
