"""Metrics of a simulation by name: the published ones, rank and threshold ones, and one's own.

a: true level, p: predicted level, pooled over the tokens of a mix; tokens without a prediction are left out.

| name | formula | range | better | chance |
|---|---|---|---|---|
| those of `scoring.scorers` | see there | | higher | |
| ``spearman`` | Pearson correlation of the ranks of a and p (ties share their mean rank) | -1..1 | higher | 0 |
| ``auroc`` | P(p of an active token > p of a silent one) + half of ties; active: a >= 4 | 0..1 | higher | 0.5 |
| ``mean_squared_error`` | mean (a - p)^2, in levels squared | >= 0 | lower | |

A constant prediction scores 0 as a correlation, as in `scorers`, and 0.5 as an AUROC.

    @register_metric("hits")
    def hits(truth, predicted): ...    # two arrays of levels -> a number
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import stats

from eval.errors import known_name
from eval.explanation.explainers import MARKED_LEVEL
from eval.explanation.registry import register_in, registered
from eval.explanation.scoring.scorers import CONSTANT, SCORES, document_sums, primary_score, score_sums, why_undefined
from eval.scores import Score

Metric = Callable[[Float[np.ndarray, " token"], Float[np.ndarray, " token"]], float]
NO_INTERVAL = "no interval was asked for"


def spearman(truth: Float[np.ndarray, " token"], predicted: Float[np.ndarray, " token"]) -> float:
    """Rank correlation; NaN for a constant truth, 0 for a constant prediction."""
    if np.ptp(truth) == 0:
        return float("nan")
    if np.ptp(predicted) == 0:
        return 0.0
    return float(np.corrcoef(stats.rankdata(truth), stats.rankdata(predicted))[0, 1])


def auroc(truth: Float[np.ndarray, " token"], predicted: Float[np.ndarray, " token"]) -> float:
    """How well the prediction tells active tokens from silent ones; NaN where there is no active or no silent one."""
    active = truth >= MARKED_LEVEL
    if not active.any() or active.all():
        return float("nan")
    ranks = stats.rankdata(predicted)
    n, m = int(active.sum()), int((~active).sum())
    return float((ranks[active].sum() - n * (n + 1) / 2) / (n * m))


def mean_squared_error(truth: Float[np.ndarray, " token"], predicted: Float[np.ndarray, " token"]) -> float:
    """In levels squared."""
    return float(np.mean((truth - predicted) ** 2))


METRICS: dict[str, Metric] = {"spearman": spearman, "auroc": auroc, "mean_squared_error": mean_squared_error}


def register_metric(name: str) -> Callable[[Metric], Metric]:
    """Make a function (true levels, predicted levels -> a number) a metric of this name."""
    return register_in(name, METRICS)


def metric_named(text: str) -> str:
    """The metric that a text means: a name, or `file.py:name`. Raises `UserError` for an unknown one."""
    found = registered(text, METRICS, "--metric")
    return known_name(text, (*SCORES, *METRICS), "metric") if found is None else found


def metric_score(name: str, truth: np.ndarray, predicted: np.ndarray, document: np.ndarray) -> Score:
    """One unit's value of a metric, with the reason where it has none; ``n`` counts documents."""
    ok = np.isfinite(predicted) & np.isfinite(truth)
    n = len(np.unique(document[ok]))
    if name in SCORES:
        sums, _ = document_sums(truth, predicted, document)
        if name == "correlation":
            return primary_score(sums)
        reason = why_undefined(name, sums)
        if reason:
            return Score.undefined(reason, n)
        return Score(float(score_sums(name, sums.sum(0))), n=n, interval_reason=NO_INTERVAL)
    if not ok.any():
        return Score.undefined("no token has a prediction", 0)
    value = METRICS[name](truth[ok], predicted[ok])
    if not np.isfinite(value):
        return Score.undefined(f"{name} is undefined on the scored tokens", n)
    constant = name == "spearman" and np.ptp(predicted[ok]) == 0
    return Score(float(value), n=n, interval_reason=CONSTANT if constant else NO_INTERVAL)
