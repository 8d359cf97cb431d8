"""Does a simulation match the unit? The pooled scores of Bills et al. 2023, from sums that can be resampled.

Axes: ``document``, ``statistic`` (the eleven sums of ``document_sums``), ``resample``, ``unit``. a: the true
activation, p: the predicted one, pooled over the tokens of all windows of a mix; tokens without a prediction are left
out.

| name | formula | range | note |
|---|---|---|---|
| ``correlation`` | Pearson r(a, p) | -1..1 | [B23] ``ev_correlation_score``; blind to scale |
| ``r_squared_uncentred`` | 1 - mean((a-p)^2) / mean(a^2) | <= 1 | as published [B23]; predicting 0 scores 0 |
| ``r_squared`` | 1 - mean((a-p)^2) / var(a) | <= 1 | centred: predicting the mean scores 0 |
| ``absolute_deviation_explained`` | 1 - mean abs(a-p) / mean abs(a) | <= 1 | as published [B23] |

All are undefined, with the reason, for a constant or all-zero truth (the correlation also for a constant prediction).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from eval.measures.statistics.resampling import MINIMUM_GROUPS, draw_weights
from eval.scores import Score

SCORES = ("correlation", "r_squared_uncentred", "r_squared", "absolute_deviation_explained")
N_STATISTICS = 11
_N, _A, _P, _AA, _PP, _AP, _SQUARED, _ABSOLUTE, _RAW_A, _RAW_AA, _RAW_PP = range(N_STATISTICS)
_RELATIVE_ZERO = 1e-12
CONSTANT = "the explanation predicts a constant: counted as 0"
CONSTANT_PREDICTION = "the prediction is constant on the scored tokens"


def document_sums(
    truth: Float[np.ndarray, " token"], predicted: Float[np.ndarray, " token"], document: Int[np.ndarray, " token"]
) -> tuple[Float[np.ndarray, "document statistic"], Int[np.ndarray, " document"]]:
    """The sums behind every score, by document, and the documents' numbers; NaN predictions are left out.

    n, a', p', a'^2, p'^2, a'p' (a' and p' are centred on the pooled means, which costs no precision where those are
    large), (a-p)^2, |a-p|, |a|, a^2, p^2.
    """
    ok = np.isfinite(predicted) & np.isfinite(truth)
    a, p = np.asarray(truth, float)[ok], np.asarray(predicted, float)[ok]
    documents, place = np.unique(np.asarray(document)[ok], return_inverse=True)
    x, y = (a - a.mean(), p - p.mean()) if len(a) else (a, p)
    columns = [np.ones_like(a), x, y, x * x, y * y, x * y, (a - p) ** 2, np.abs(a - p), np.abs(a), a * a, p * p]
    sums = [np.bincount(place, column, minlength=len(documents)) for column in columns]
    return np.stack(sums, axis=1) if len(documents) else np.zeros((0, N_STATISTICS)), documents


def score_sums(
    name: str, sums: Float[np.ndarray, "*axes statistic"], *, constant: float = np.nan
) -> Float[np.ndarray, "*axes"]:
    """A score from (weighted) sums over the last axis; NaN where it is undefined.

    constant: the correlation of a constant prediction with a truth that varies.
    """
    s = [sums[..., i] for i in range(N_STATISTICS)]
    with np.errstate(invalid="ignore", divide="ignore"):
        n = s[_N]
        variance_a = s[_AA] / n - (s[_A] / n) ** 2
        variance_p = s[_PP] / n - (s[_P] / n) ** 2
        variance_a = np.where(variance_a > _RELATIVE_ZERO * s[_RAW_AA] / n, variance_a, np.nan)
        variance_p = np.where(variance_p > _RELATIVE_ZERO * s[_RAW_PP] / n, variance_p, np.nan)
        if name == "correlation":
            found = (s[_AP] / n - s[_A] * s[_P] / n**2) / np.sqrt(variance_a * variance_p)
            return np.where(np.isfinite(variance_a) & np.isnan(variance_p), constant, found)
        if name == "r_squared":
            return 1 - s[_SQUARED] / n / variance_a
        flat_truth = np.isnan(variance_a)
        if name == "r_squared_uncentred":
            return np.where(flat_truth, np.nan, 1 - s[_SQUARED] / s[_RAW_AA])
        if name == "absolute_deviation_explained":
            return np.where(flat_truth, np.nan, 1 - s[_ABSOLUTE] / s[_RAW_A])
    raise ValueError(f"expected one of {SCORES}, got {name!r}")


def why_undefined(name: str, sums: Float[np.ndarray, "document statistic"]) -> str | None:
    """The reason why a score has no value on these sums, or ``None`` where it has one."""
    total = sums.sum(0)
    if not total[_N]:
        return "no token has a prediction"
    if np.isfinite(score_sums(name, total)):
        return None
    if not total[_RAW_AA]:
        return "the unit is zero on every scored token"
    if np.isnan(score_sums("r_squared", total)):
        return "the unit is constant on the scored tokens"
    return CONSTANT_PREDICTION


@lru_cache(maxsize=64)
def _weights(n_documents: int, n_resamples: int, seed: int) -> np.ndarray:
    """The same draws for every unit scored on equally many documents (they share the windows anyway)."""
    return draw_weights(n_documents, n_resamples, seed).astype(float)


def score_all(
    sums: Float[np.ndarray, "document statistic"],
    *,
    minimum_documents: int = MINIMUM_GROUPS,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Score]:
    """One unit's pooled scores with percentile intervals that resample documents; ``n`` counts documents.

    With fewer than ``minimum_documents`` documents the intervals are undefined, with the reason; the values stand.
    """
    n = len(sums)
    total = sums.sum(0)
    reasons = {name: why_undefined(name, sums) for name in SCORES}
    too_few = n < minimum_documents
    drawn = None if too_few else _weights(n, n_resamples, seed) @ sums
    out = {}
    for name in SCORES:
        if reasons[name]:
            out[name] = Score.undefined(str(reasons[name]), n)
            continue
        value = float(score_sums(name, total))
        if drawn is None:
            reason = f"{n} documents; an interval resampled over documents needs at least {minimum_documents}"
            out[name] = Score(value, n=n, interval_reason=reason)
            continue
        draws = score_sums(name, drawn)
        low, high = np.quantile(draws[np.isfinite(draws)], [0.025, 0.975])
        out[name] = Score(value, float(low), float(high), n)
    return out


def primary_score(sums: Float[np.ndarray, "document statistic"]) -> Score:
    """The correlation without an interval; 0 for a constant prediction of a truth that varies."""
    reason = why_undefined("correlation", sums)
    if reason == CONSTANT_PREDICTION:
        return Score(0.0, n=len(sums), interval_reason=CONSTANT)
    if reason:
        return Score.undefined(reason, len(sums))
    return Score(
        float(score_sums("correlation", sums.sum(0))), n=len(sums), interval_reason="no interval was asked for"
    )


def pooled_scores(truth: Sequence[float], predicted: Sequence[float]) -> dict[str, Score]:
    """Every score of two plain sequences, without intervals: the published formulas, for checks and small scripts.

    Raises ``ValueError`` where the lengths differ.
    """
    a, p = np.asarray(truth, float), np.asarray(predicted, float)
    if a.shape != p.shape:
        raise ValueError(f"expected as many predictions as activations, got {p.shape} for {a.shape}")
    sums, _ = document_sums(a, p, np.zeros(a.shape, dtype=int))
    out = {}
    for name in SCORES:
        reason = why_undefined(name, sums)
        value = score_sums(name, sums.sum(0))
        out[name] = Score.undefined(reason) if reason else Score(float(value), n=int(np.isfinite(p).sum()))
    return out
