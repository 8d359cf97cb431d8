"""What an estimate of information returns: the value with its interval within [0, H(X)], or the reason for none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from eval.scores import Score

UNITS = {"bits": math.log(2), "nats": 1.0}


@dataclass(frozen=True)
class InformationEstimate:
    """The estimate and what the estimator itself said.

    score: value and 95% interval, within [0, H(X)]; n is the number of samples it is taken on (the held-out ones; all
        for ``ksg``). Undefined, with its reason, where the interval lies wholly outside that range: a bound below 0 is
        vacuous and not 0, and a value above H(X) is wrong and not H(X).
    raw: the estimator's own value, which may be below 0 or above H(X); NaN where it has none.
    standard_error: of the raw value over samples (a trained network taken as given); for ``ksg`` as simulated.
    bias: of the raw value, as simulated (``ksg``); the score's value is less this.
    """

    estimator: str
    units: str
    score: Score
    raw: float
    standard_error: float
    bias: float | None = None


def scored(value: float, low: float, high: float, top: float | None, n: int, units: str) -> Score:
    """Nats into the unit and into [0, top]; undefined where the interval does not meet that range."""
    unit, limit = UNITS[units], math.inf if top is None else top
    said = f"{value / unit:.3g} [{low / unit:.3g}, {high / unit:.3g}] {units}"
    if high < 0:
        return Score.undefined(f"vacuous: information is at least 0, and the estimate is {said}", n)
    if low > limit:
        return Score.undefined(f"impossible: at most H(X) = {limit / unit:.3g}, and the estimate is {said}", n)
    held = [min(max(end, 0.0), limit) / unit for end in (value, low, high)]
    return Score(held[0], held[1], held[2], n)


def bound_estimate(
    estimator: str, units: str, value: float, standard_error: float, top: float | None, n: int
) -> InformationEstimate:
    """A lower bound in nats: its interval reaches up to H(X) = ``top``, the only thing that is known from above."""
    unit, half = UNITS[units], 1.96 * standard_error
    score = scored(value, value - half, value + half, top, n, units)
    if score.is_defined and top is None:
        score = Score(score.value, n=n, interval_reason="a lower bound: nothing is known from above for a continuous x")
    elif score.is_defined and top is not None:
        score = Score(score.value, score.low, top / unit, n)
    return InformationEstimate(estimator, units, score, value / unit, standard_error / unit)
