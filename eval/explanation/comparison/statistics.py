"""By layer and kind: means, differences and nulls, with intervals over what is independent (units, documents).

Axes: ``unit``, ``document``, ``statistic`` (sums of ``scorers``), ``resample``, ``layer``. The primary score is the
correlation on the shared random windows, where every unit is scored on the same tokens. A neuron and a projection have
no natural pairing, so a difference resamples units of both kinds independently and documents together, and its p
permutes the kind labels over the units of the layer, of Welch's t (`small_samples`); p is Holm-corrected over layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from eval.explanation.evaluate import MIXES
from eval.explanation.results import PRIMARY, KindDifference, LayerMean, RivalMean, ScoreMean, UnitResult, is_constant
from eval.explanation.scoring.scorers import N_STATISTICS, SCORES, score_sums
from eval.measures.statistics.resampling import MINIMUM_GROUPS, draw_weights, holm
from eval.measures.statistics.small_samples import expanded_levels, studentised_mean, studentised_permutation_test
from eval.scores import Score

MINIMUM_UNITS = 8
"""With fewer units of a kind in a layer, an interval over units is undefined."""

MIX_OF_TASK = {
    "detection": "top against random",
    "hard-detection": "top against the nearest silent ones",
    "intruder": "four of top and one silent",
    "embedding": "top against the nearest silent ones",
    "surprisal": "top against the nearest silent ones",
    "intervention": "steered against plain continuations",
}


def label(result: UnitResult) -> str:
    """The kind as it stands in tables: ``neuron``, ``neuron (shuffled)``, ``sae:DIR`` ..."""
    return result.label


def grouped(results: Sequence[UnitResult]) -> dict[tuple[str, int], list[UnitResult]]:
    """Results by (label, layer), in order of appearance."""
    groups: dict[tuple[str, int], list[UnitResult]] = {}
    for result in results:
        groups.setdefault((label(result), result.unit.layer), []).append(result)
    return groups


def mean_over_units(scores: Sequence[Score], *, n_resamples: int = 2000, seed: int = 0) -> Score:
    """The mean of the defined scores with a bootstrap-t interval over units; ``n`` counts units with a score."""
    values = np.array([score.value for score in scores if score.value is not None])
    if not len(values):
        reasons = [score.reason for score in scores if score.reason]
        return Score.undefined(max(set(reasons), key=reasons.count) if reasons else "no units", 0)
    result = studentised_mean(values, n_resamples=n_resamples, minimum_groups=MINIMUM_UNITS, seed=seed)
    if len(values) < MINIMUM_UNITS:
        reason = f"{len(values)} units; an interval over units needs at least {MINIMUM_UNITS}"
        return Score(result.value, n=len(values), interval_reason=reason)
    return result


def mean_coverage(results: Sequence[UnitResult]) -> float | None:
    """Share of the wanted predictions that are there, mean over units; ``None`` where none was wanted."""
    return _mean([result.coverage for result in results])


def by_layer(results: Sequence[UnitResult], pick: Callable[[UnitResult], Score], seed: int = 0) -> list[LayerMean]:
    """Mean of one score by kind and layer."""
    return [
        _layer_mean(kind, layer, members, [pick(result) for result in members], seed)
        for (kind, layer), members in grouped(results).items()
    ]


def _layer_mean(kind: str, layer: int, members: list[UnitResult], scores: list[Score], seed: int) -> LayerMean:
    constant = sum(map(is_constant, scores))
    others = [score.value for score in scores if score.value is not None and not is_constant(score)]
    mean = mean_over_units(scores, seed=seed)
    return LayerMean(
        kind=kind,
        layer=layer,
        undefined=len(members) - (mean.n or 0),
        mean=mean,
        coverage=mean_coverage(members),
        constant=constant,
        mean_of_others=float(np.mean(others)) if constant and others else None,
        bits=_mean([result.bits for result in members]),
        upper_bound=_mean([result.upper_bound.value for result in members]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def every_score(results: Sequence[UnitResult], seed: int = 0) -> list[ScoreMean]:
    """``by_layer`` for every scorer, mix, baseline and null, each row naming its ``score``, ``mix`` and ``source``."""
    rows: list[ScoreMean] = []

    def add(source: str, mix: str, name: str, pick: Callable[[UnitResult], Score]) -> None:
        rows.extend(ScoreMean(row, source, mix, name) for row in by_layer(results, pick, seed))

    absent = Score.undefined("not a baseline of this unit")
    for mix in MIXES:
        for name in SCORES:
            add("simulation", mix, name, lambda r, m=mix, s=name: r.scores[m][s])
            for baseline in sorted({key for result in results for key in result.baselines}):

                def pick(r: UnitResult, b: str = baseline, m: str = mix, s: str = name) -> Score:
                    return r.baselines[b][m][s] if b in r.baselines else absent

                add(baseline, mix, name, pick)
    add("shuffled explanation", "random", "correlation", lambda r: r.null)
    for task in sorted({key for result in results for key in result.tasks}):
        mix = MIX_OF_TASK.get(task, "top")
        for name in ("balanced_accuracy", "auroc"):
            add(task, mix, name, lambda r, t=task, s=name: r.tasks[t][s])
    return rows


def _stacked(members: Sequence[UnitResult], documents: np.ndarray, mix: str) -> np.ndarray:
    """Sums as [unit, document, statistic] on a common list of documents."""
    out = np.zeros((len(members), len(documents), N_STATISTICS))
    for row, result in enumerate(members):
        own = result.sums[mix]
        out[row, np.searchsorted(documents, own.documents)] = own.sums.reshape(-1, N_STATISTICS)
    return out


def difference(
    first: Sequence[UnitResult],
    second: Sequence[UnitResult],
    *,
    mix: str = PRIMARY[0],
    name: str = PRIMARY[1],
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[Score, float]:
    """Mean score of ``first`` minus mean score of ``second``: (difference with interval, permutation p).

    The interval is a percentile interval over units (each kind drawn anew) and documents (drawn once for both kinds:
    all units are scored on the same windows), widened for the smallest of the three samples (`expanded_levels`); each
    unit's pooled score is recomputed on the drawn documents. ``n`` counts the units of both kinds. Undefined where a
    kind has no scored unit; the interval also with fewer than ``MINIMUM_UNITS`` units or ``MINIMUM_GROUPS`` documents;
    p is NaN where the difference is undefined.
    """
    kept = [[r for r in members if r.scores[mix][name].is_defined] for members in (first, second)]
    n = sum(map(len, kept))
    if not all(kept):
        return Score.undefined("one of the two kinds has no scored unit in this layer", n), float("nan")
    values = [np.array([r.scores[mix][name].value for r in members], dtype=float) for members in kept]
    value = float(values[0].mean() - values[1].mean())
    p = studentised_permutation_test(values[0], values[1], n_resamples=n_resamples, seed=seed)
    documents = np.unique(np.concatenate([r.sums[mix].documents for members in kept for r in members]))
    if min(map(len, kept)) < MINIMUM_UNITS:
        reason = f"{min(map(len, kept))} units of one kind; an interval over units needs at least {MINIMUM_UNITS}"
        return Score(value, n=n, interval_reason=reason), p
    if len(documents) < MINIMUM_GROUPS:
        reason = f"{len(documents)} score documents; an interval over documents needs at least {MINIMUM_GROUPS}"
        return Score(value, n=n, interval_reason=reason), p
    of_documents, *of_units = _draws(len(documents), len(kept[0]), len(kept[1]), n_resamples, seed)
    means = []
    for members, drawn_units in zip(kept, of_units, strict=True):
        sums = np.einsum("rd,uds->rus", of_documents, _stacked(members, documents, mix))
        drawn = score_sums(name, sums, constant=0.0)  # as for the unit's own score
        weights = drawn_units * np.isfinite(drawn)
        with np.errstate(invalid="ignore"):
            means.append((np.nan_to_num(drawn) * weights).sum(1) / weights.sum(1))
    draws = means[0] - means[1]
    levels = expanded_levels(min(*map(len, kept), len(documents)))
    low, high = np.quantile(draws[np.isfinite(draws)], levels)
    return Score(value, float(low), float(high), n), p


@lru_cache(maxsize=8)
def _draws(
    n_documents: int, n_first: int, n_second: int, n_resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each document, and each unit of either kind, is drawn: the same at every layer and length."""
    generator = np.random.default_rng(seed)
    of_documents = draw_weights(n_documents, n_resamples, generator).astype(float)
    first = draw_weights(n_first, n_resamples, generator)
    return of_documents, first, draw_weights(n_second, n_resamples, generator)


def differences(
    results: Sequence[UnitResult], pairs: Sequence[tuple[str, str]], **options: Any
) -> list[KindDifference]:
    """Every pair of kinds in every layer that has both; p is Holm-corrected over the layers of a pair."""
    groups = grouped(results)
    layers = sorted({layer for _, layer in groups})
    rows: list[KindDifference] = []
    for a, b in pairs:
        shared = [layer for layer in layers if (a, layer) in groups and (b, layer) in groups]
        found = [difference(groups[a, layer], groups[b, layer], **options) for layer in shared]
        corrected = holm(np.array([p for _, p in found])) if found else []
        for layer, (score, p), adjusted in zip(shared, found, corrected, strict=True):
            rows.append(
                KindDifference(
                    layer=layer,
                    a=a,
                    b=b,
                    difference=score,
                    p=_finite(adjusted),
                    p_uncorrected=_finite(p),
                    coverage_a=mean_coverage(groups[a, layer]),
                    coverage_b=mean_coverage(groups[b, layer]),
                )
            )
    return rows


def _finite(p: float) -> float | None:
    return float(p) if np.isfinite(p) else None


def against_rivals(results: Sequence[UnitResult], seed: int = 0) -> list[RivalMean]:
    """Does the explainer do better than others at the same budget? Paired by unit, by kind and layer."""
    out: list[RivalMean] = []
    groups = grouped(results)
    for rival in dict.fromkeys(name for result in results for name in result.rivals):
        for kind in dict.fromkeys(kind for kind, _ in groups):
            found = [(layer, _paired(groups[kind, layer], rival)) for own, layer in groups if own == kind]
            found = [(layer, pairs) for layer, pairs in found if len(pairs)]
            p = [sign_flip_p(pairs[:, 0] - pairs[:, 1], seed=seed) for _, pairs in found]
            for (layer, pairs), adjusted in zip(found, holm(np.array(p)) if p else [], strict=True):
                gains = [Score(float(gain)) for gain in pairs[:, 0] - pairs[:, 1]]
                own, other = pairs.mean(0).tolist()
                out.append(
                    RivalMean(rival, kind, layer, own, other, mean_over_units(gains, seed=seed), _finite(adjusted))
                )
    return out


def _paired(members: Sequence[UnitResult], rival: str) -> np.ndarray:
    """[unit, 2]: own and rival's primary score, where both are there."""
    pairs = [(r.primary.value, r.rivals[rival].score.value) for r in members if rival in r.rivals]
    return np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)


def sign_flip_p(differences: np.ndarray, *, n_resamples: int = 5000, seed: int = 0) -> float:
    """Is the mean of paired differences other than 0? Two-sided p of flipping signs; NaN without a difference."""
    if not len(differences):
        return float("nan")
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (n_resamples, len(differences)))
    drawn = np.abs(signs @ differences)
    return float((1 + np.sum(drawn >= abs(differences.sum()) - 1e-12)) / (n_resamples + 1))


def against_null(results: Sequence[UnitResult], seed: int = 0) -> list[LayerMean]:
    """Does a unit's own explanation beat those of other units of its kind and layer? Mean of score - null by layer."""

    def gain(result: UnitResult) -> Score:
        if result.primary.value is None or result.null.value is None:
            return Score.undefined(result.primary.reason or result.null.reason or "no score")
        return Score(result.primary.value - result.null.value)

    return by_layer(results, gain, seed)


def against_baseline(results: Sequence[UnitResult], baseline: str, seed: int = 0) -> list[LayerMean]:
    """Does the explanation beat a baseline on the same windows? Mean of score - baseline by layer, unit for unit."""

    def gain(result: UnitResult) -> Score:
        other = result.baselines[baseline][PRIMARY[0]][PRIMARY[1]] if baseline in result.baselines else None
        if other is None or result.primary.value is None or other.value is None:
            return Score.undefined(result.primary.reason or (other.reason if other else None) or "no score")
        return Score(result.primary.value - other.value)

    return by_layer(results, gain, seed)
