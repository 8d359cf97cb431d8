"""Kinds of units, and units and their controls, compared by the scorers that ask a judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.explanation.comparison.statistics import MINIMUM_UNITS, grouped, mean_coverage
from eval.explanation.results import KindDifference, TaskDifference, UnitResult
from eval.measures.statistics.resampling import draw_weights, holm
from eval.measures.statistics.small_samples import expanded_levels, studentised_permutation_test
from eval.scores import Score


def task_differences(
    results: Sequence[UnitResult], pairs: Sequence[tuple[str, str]], *, n_resamples: int = 2000, seed: int = 0
) -> list[TaskDifference]:
    """Every pair of kinds in every layer and scorer; p is Holm-corrected over the layers and scorers of a pair."""
    groups = grouped(results)
    layers = sorted({layer for _, layer in groups})
    tasks = list(dict.fromkeys(task for result in results for task in result.tasks))
    rows = []
    for a, b in pairs:
        cells = [(t, n) for t in tasks for n in layers if (a, n) in groups and (b, n) in groups]
        sides = [tuple(_values(groups[kind, n], t) for kind in (a, b)) for t, n in cells]
        p = [studentised_permutation_test(*side, n_resamples=n_resamples, seed=seed) for side in sides]
        for (task, layer), side, raw, adjusted in zip(cells, sides, p, holm(np.array(p)) if p else (), strict=True):
            row = KindDifference(
                layer=layer,
                a=a,
                b=b,
                difference=mean_difference(*side, n_resamples=n_resamples, seed=seed),
                p=float(adjusted) if np.isfinite(adjusted) else None,
                p_uncorrected=float(raw) if np.isfinite(raw) else None,
                coverage_a=mean_coverage(groups[a, layer]),
                coverage_b=mean_coverage(groups[b, layer]),
            )
            rows.append(TaskDifference(task, row))
    return rows


def _values(members: Sequence[UnitResult], task: str) -> np.ndarray:
    """The AUROC of every unit that has one."""
    found = [member.tasks[task].auroc.value for member in members if task in member.tasks]
    return np.array([value for value in found if value is not None], dtype=float)


def mean_difference(first: np.ndarray, second: np.ndarray, *, n_resamples: int = 2000, seed: int = 0) -> Score:
    """mean(first) - mean(second), with a percentile interval over the units of either kind, widened for few of them
    (`expanded_levels`); ``n`` counts both. Undefined where one is empty, without an interval below 8 units of a kind.
    """
    n = len(first) + len(second)
    if not (len(first) and len(second)):
        return Score.undefined("one of the two kinds has no scored unit in this layer", n)
    value, fewest = float(first.mean() - second.mean()), min(len(first), len(second))
    if fewest < MINIMUM_UNITS:
        reason = f"{fewest} units of one kind; an interval over units needs at least {MINIMUM_UNITS}"
        return Score(value, n=n, interval_reason=reason)
    generator = np.random.default_rng(seed)
    drawn = [draw_weights(len(side), n_resamples, generator) @ side / len(side) for side in (first, second)]
    low, high = np.quantile(drawn[0] - drawn[1], expanded_levels(fewest))
    return Score(value, float(low), float(high), n)
