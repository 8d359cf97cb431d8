"""How sure are we? Intervals and tests that resample what is independent: documents, units, seeds; never tokens.

Axis glossary: ``group`` the independent things (documents, images, seeds), ``unit`` scored things (neurons,
projections), ``resample`` bootstrap or permutation draws, ``test`` hypotheses of one family.

A statistic is a function of group *weights* (how often each group was drawn): ``weights[resample, group] ->
values[resample]``. That makes the bootstrap one matrix product for sums, means and ratios, and the leave-one-group-out
jackknife that BCa needs is the same function on other weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.stats import norm

from eval.errors import UserError
from eval.measures.statistics.binomial import binomial_share
from eval.scores import Score

MINIMUM_GROUPS = 20
"""With fewer documents an interval resampled over documents is undefined (the bootstrap undercovers)."""

Seed = int | np.random.Generator
Statistic = Callable[[np.ndarray], np.ndarray]


def draw_weights(n_groups: int, n_resamples: int, seed: Seed = 0) -> Int[np.ndarray, "resample group"]:
    """How often is each group drawn, drawing ``n_groups`` with replacement? Each row sums to ``n_groups``."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=n_resamples)


def bootstrap(
    statistic: Statistic,
    n_groups: int,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    method: str = "bca",
    minimum_groups: int = MINIMUM_GROUPS,
    seed: Seed = 0,
) -> Score:
    """In which range would the statistic fall, had we drawn other documents?

    Percentile or bias-corrected accelerated (BCa) bootstrap interval [Efron & Tibshirani 1993, ch. 14].

    Args:
        statistic: maps ``weights[resample, group]`` to ``values[resample]``; all-ones weights are the data themselves.
            A value that is not finite (an empty resample) is left out.
        n_groups: number of independent groups.
        confidence: nominal coverage, in (0, 1).
        n_resamples: bootstrap draws.
        method: ``"bca"`` or ``"percentile"``.
        minimum_groups: with fewer groups the interval is undefined, with the reason; the value stands.
        seed: integer or NumPy Generator.

    Returns:
        ``Score`` with ``n = n_groups``; undefined (with its reason) where the statistic is not finite on the data;
        without an interval (``interval_reason``) for too few groups. A constant statistic has a zero-width interval.

    Raises:
        UserError: unknown method, or confidence outside (0, 1).
    """
    if method not in ("bca", "percentile"):
        raise UserError(f"expected method 'bca' or 'percentile'; got {method!r}; choose one of them")
    if not 0 < confidence < 1:
        raise UserError(f"expected confidence in (0, 1); got {confidence}; use .95 for a 95% interval")
    value = float(np.asarray(statistic(np.ones((1, n_groups))))[0])
    if not np.isfinite(value):
        return Score.undefined("the statistic is not finite on the data", n_groups)
    if n_groups < minimum_groups:
        return Score(value, n=n_groups, interval_reason=_too_few(n_groups, minimum_groups, "documents"))
    draws = np.asarray(statistic(draw_weights(n_groups, n_resamples, seed).astype(float)), dtype=float)
    draws = draws[np.isfinite(draws)]
    if draws.size < n_resamples / 2:
        reason = "the statistic is undefined in more than half of the resamples"
        return Score(value, n=n_groups, interval_reason=reason)
    tail = (1 - confidence) / 2
    levels = np.array([tail, 1 - tail])
    if method == "bca":
        jackknife = np.asarray(statistic(1.0 - np.eye(n_groups)), dtype=float)
        levels = _bca_levels(levels, value, draws, jackknife)
    low, high = np.quantile(draws, levels)
    return Score(value, float(low), float(high), n_groups)


def _too_few(got: int, needed: int, what: str) -> str:
    return f"{got} {what}; an interval resampled over {what} needs at least {needed}"


def _bca_levels(levels: np.ndarray, value: float, draws: np.ndarray, jackknife: np.ndarray) -> np.ndarray:
    """Quantile levels after bias correction z0 and acceleration a; the percentile levels where those are undefined."""
    below = np.mean(draws < value) + np.mean(draws == value) / 2
    jackknife = jackknife[np.isfinite(jackknife)]
    deviation = jackknife.mean() - jackknife if jackknife.size else np.zeros(1)
    spread = np.sum(deviation**2) ** 1.5
    if not 0 < below < 1 or not spread > 0:
        return levels
    bias = norm.ppf(below)
    acceleration = np.sum(deviation**3) / (6 * spread)
    shifted = bias + norm.ppf(levels)
    return norm.cdf(bias + shifted / (1 - acceleration * shifted))


def bootstrap_mean(
    values: Real[np.ndarray, " group"], sizes: Real[np.ndarray, " group"] | None = None, **options
) -> Score:
    """What is the mean over documents, and how sure? ``sum(w sizes values) / sum(w sizes)``; equal sizes by default.

    With ``sizes`` (tokens per document) and ``values`` the documents' own means, this is the token mean with a document
    interval. NaN marks a document without a value: it is left out and not counted in ``n``. Options as ``bootstrap``.
    """
    values = np.asarray(values, dtype=float)
    sizes = np.ones_like(values) if sizes is None else np.asarray(sizes, dtype=float)
    kept = np.isfinite(values)
    return bootstrap_ratio((values * sizes)[kept], sizes[kept], **options)


def bootstrap_share(
    hits: Real[np.ndarray, " group"], sizes: Real[np.ndarray, " group"] | None = None, **options
) -> Score:
    """Which share of independent groups has a property, and how sure? `bootstrap_mean` of 0/1 data, except where all
    groups agree: resampling [0, 0, 0] has no width, so there the interval is the exact binomial one [Clopper & Pearson
    1934], e.g. [0, 1 - .025^(1/n)] for none of n, whatever n is.

    Args:
        hits: 0 or 1 for each group, or the share of hits within it; NaN marks a group without a value.
        sizes, options: as `bootstrap_mean`.

    Raises:
        UserError: a value outside [0, 1].
    """
    hits = np.asarray(hits, dtype=float)
    known = hits[np.isfinite(hits)]
    if known.size and (known.min() < 0 or known.max() > 1):
        raise UserError(f"expected shares in [0, 1]; got {known.min():.3g} to {known.max():.3g}; use bootstrap_mean")
    score = bootstrap_mean(hits, sizes, **options)
    if not score.is_defined or known.min() != known.max() or known[0] not in (0.0, 1.0):
        return score
    return binomial_share(int(known.sum()), len(known), options.get("confidence", 0.95))


def bootstrap_ratio(
    numerators: Real[np.ndarray, " group"], denominators: Real[np.ndarray, " group"], **options
) -> Score:
    """What is a ratio of sums over documents (a pooled mean, a rate, an R^2's fraction), and how sure?

    Groups whose denominator is zero are harmless; a zero total is undefined. Options as ``bootstrap``.
    """
    numerators, denominators = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)

    def ratio(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights @ numerators) / (weights @ denominators)

    return bootstrap(ratio, len(numerators), **options)


def bootstrap_two_way(
    values: Real[np.ndarray, "unit group"],
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    minimum_units: int = 10,
    minimum_groups: int = MINIMUM_GROUPS,
    seed: Seed = 0,
) -> Score:
    """What is the mean score over units *and* documents, had both been drawn anew? Percentile interval; NaN = no value.

    Rows and columns are resampled independently and their weights multiply (the pigeonhole bootstrap, Owen 2007), which
    is conservative when both matter. ``n`` is the number of units with a value.

    Example: the difference of two layers' unit-by-document score tables, unit for unit.
    """
    values = np.asarray(values, dtype=float)
    present = np.isfinite(values)
    values, present = values[present.any(1)][:, present.any(0)], present[present.any(1)][:, present.any(0)]
    n_units, n_groups = values.shape
    if not values.size:
        return Score.undefined("no unit has a value on any document", 0)
    filled = np.where(present, values, 0.0)
    value = float(filled.sum() / present.sum())
    if n_units < minimum_units:
        return Score(value, n=n_units, interval_reason=_too_few(n_units, minimum_units, "units"))
    if n_groups < minimum_groups:
        return Score(value, n=n_units, interval_reason=_too_few(n_groups, minimum_groups, "documents"))
    generator = np.random.default_rng(seed)
    of_units = draw_weights(n_units, n_resamples, generator)
    of_groups = draw_weights(n_groups, n_resamples, generator)
    totals = np.einsum("ru,ru->r", of_units, of_groups @ filled.T)
    counts = np.einsum("ru,ru->r", of_units, of_groups @ present.T.astype(float))
    draws = totals[counts > 0] / counts[counts > 0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Score(value, float(low), float(high), n_units)


def permutation_p(
    statistic: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray,
    *,
    strata: np.ndarray | None = None,
    alternative: str = "two-sided",
    n_resamples: int = 2000,
    seed: Seed = 0,
) -> float:
    """How often does shuffling the labels give a statistic at least as extreme? p = (1 + #extreme) / (1 + #draws).

    Args:
        statistic: maps ``labels[resample, item]`` to ``values[resample]``, zero meaning "no difference" when two-sided.
        labels: one label per item; permuted over items, or within each stratum (a document, a layer) when given.
        alternative: ``"two-sided"`` (absolute value), ``"greater"`` or ``"less"``.

    Returns:
        p in [1 / (1 + n_resamples), 1]; NaN when the observed statistic is undefined.

    Raises:
        UserError: unknown alternative.
    """
    fold = {"two-sided": np.abs, "greater": np.asarray, "less": np.negative}.get(alternative)
    if fold is None:
        raise UserError(
            f"expected alternative 'two-sided', 'greater' or 'less'; got {alternative!r}; choose one of them"
        )
    labels = np.asarray(labels)
    strata = np.zeros(len(labels), dtype=int) if strata is None else np.asarray(strata)
    observed = float(fold(np.asarray(statistic(labels[None])))[0])
    if not np.isfinite(observed):
        return float("nan")
    generator = np.random.default_rng(seed)
    shuffled = np.tile(labels, (n_resamples, 1))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        shuffled[:, members] = generator.permuted(shuffled[:, members], axis=1)
    draws = fold(np.asarray(statistic(shuffled), dtype=float))
    slack = 1e-12 * max(abs(observed), 1e-300)
    return float((1 + np.sum(draws >= observed - slack)) / (1 + n_resamples))


def permutation_test(first: Real[np.ndarray, " first"], second: Real[np.ndarray, " second"], **options) -> float:
    """Could two samples of independent values have the same mean? Permutation p of mean(first) - mean(second).

    NaN values (no score) are left out; an empty sample gives NaN. Options as ``permutation_p``.
    """
    first, second = (np.asarray(x, dtype=float)[np.isfinite(x)] for x in (first, second))
    if not len(first) or not len(second):
        return float("nan")
    values = np.concatenate([first, second])
    labels = np.repeat([1.0, 0.0], [len(first), len(second)])
    values = values - values.mean()
    return permutation_p(
        lambda label: label @ values / len(first) - (1 - label) @ values / len(second), labels, **options
    )


def holm(p_values: Real[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Which of a family hold with no false claim at all? Holm-adjusted p (family-wise error), step-down [Holm 1979].

    NaN (an undefined test) stays NaN and is not counted in the family.
    """
    return _adjusted(p_values, lambda p: np.maximum.accumulate(p * np.arange(len(p), 0, -1)))


def benjamini_hochberg(p_values: Real[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Which of a family hold, with at most a share q of them false? BH-adjusted p, step-up [Benjamini & Hochberg 1995].

    NaN (an undefined test) stays NaN and is not counted in the family.
    """
    return _adjusted(p_values, lambda p: np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1])


def _adjusted(p_values: np.ndarray, step: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply ``step`` to the sorted finite p-values and put the results back in place, capped at 1."""
    p_values = np.asarray(p_values, dtype=float)
    if np.any((p_values < 0) | (p_values > 1)):
        wrong = p_values[(p_values < 0) | (p_values > 1)][0]
        raise UserError(f"expected p-values in [0, 1]; got {wrong}; pass probabilities, NaN where undefined")
    adjusted = np.full_like(p_values, np.nan)
    places = np.flatnonzero(np.isfinite(p_values))
    places = places[np.argsort(p_values[places], kind="stable")]
    adjusted[places] = np.minimum(step(p_values[places]), 1.0)
    return adjusted
