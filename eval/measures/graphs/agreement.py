"""Do interventions come out as an attribution graph predicts? Sign, rank, size, with intervals over prompts.

Axis glossary: ``test`` one change of one source and one target it is watched at, ``group`` the prompt of each test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from eval.measures.statistics.rank_correlation import rank_correlation
from eval.measures.statistics.resampling import bootstrap
from eval.scores import Score


@dataclass(frozen=True)
class Agreement:
    """sign: share of tests whose change has the predicted sign, in [0, 1], chance .5; rank: Spearman correlation;
    r2: 1 - squared error over variance of what was measured, at most 1, below 0 worse than its mean; slope: of what was
    measured on what was predicted through the origin, 1 where sizes are right. n of each: prompts."""

    sign: Score
    rank: Score
    r2: Score
    slope: Score


def agreement(
    predicted: Float[np.ndarray, " test"],
    measured: Float[np.ndarray, " test"],
    group: Int[np.ndarray, " test"],
    *,
    seed: int = 0,
) -> Agreement:
    """How well do predicted changes foretell the measured ones? Prompts are resampled, never tests.

    Tests with a predicted change of exactly 0 have no sign and count as neither right nor wrong. Undefined, with the
    reason, without tests or where nothing varies.
    """
    if len(predicted) < 3:
        nothing = Score.undefined(f"expected at least 3 tests, got {len(predicted)}")
        return Agreement(nothing, nothing, nothing, nothing)
    place = np.unique(group, return_inverse=True)[1]
    p, m = predicted.astype(float), measured.astype(float)
    signed = (p != 0).astype(float)
    right = ((p > 0) == (m > 0)) * signed * (m != 0)
    columns = (np.ones(len(p)), signed, right, m, m * m, (m - p) ** 2, p * p, p * m)
    sums = np.stack([np.bincount(place, column) for column in columns])

    def over(weights: np.ndarray, what: str) -> np.ndarray:
        n, counted, good, first, second, error, pp, pm = (weights @ sums.T).T
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"sign": good / counted, "r2": 1 - error / (second - first**2 / n), "slope": pm / pp}[what]

    found = {
        what: bootstrap(lambda weights, what=what: over(weights, what), sums.shape[1], seed=seed)
        for what in ("sign", "r2", "slope")
    }
    return Agreement(found["sign"], rank_correlation(p, m, place, seed), found["r2"], found["slope"])
