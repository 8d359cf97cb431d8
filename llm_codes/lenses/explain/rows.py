"""From the results of every unit to the tables of an explanation run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from eval.explanation.comparison import statistics
from eval.explanation.comparison.claims import depth_claims
from eval.explanation.comparison.deciding import Decision
from eval.explanation.comparison.length_rows import length_claims, length_differences, length_rows
from eval.explanation.comparison.task_rows import task_differences
from eval.explanation.results import PRIMARY, Explained, ExplainedUnit, UnitResult, UnitSource
from eval.explanation.units import compared_kinds

LENGTH_DRAWS = 1000
"""Bootstrap draws behind an interval at each length."""


def summarise(
    results: Sequence[UnitResult],
    n_layers: int,
    seed: int = 0,
    *,
    setting: str = "",
    leakage: Mapping[str, int] | None = None,
    cost: Mapping[str, float] | None = None,
    skipped_controls: Mapping[str, str] | None = None,
    readouts: Sequence[UnitSource] = (),
    decisions: Sequence[Decision] = (),
) -> Explained:
    """The whole of `results.json`: by layer, pairs, nulls, baselines, claims, faults."""
    reasons = Counter(f"{result.label}: {result.primary.reason}" for result in results if result.primary.reason)
    notes: Counter[str] = Counter()
    for result in results:
        notes.update(result.notes)
    compared = compared_kinds((result.unit, result.condition) for result in results)
    kinds = [pair for pair in compared if not pair[1].endswith(")")]
    baselines = sorted({name for result in results for name in result.baselines} - {"constant"})
    outside = [result.outside for result in results if result.outside is not None]
    return Explained(
        setting=setting,
        by_layer=tuple(statistics.by_layer(results, lambda result: result.primary, seed)),
        paired=tuple(statistics.differences(results, compared, seed=seed)),
        null=tuple(statistics.against_null(results, seed)),
        baselines={name: tuple(statistics.against_baseline(results, name, seed)) for name in baselines},
        by_score=tuple(statistics.every_score(results, seed)),
        claims=tuple(depth_claims(results, n_layers, seed=seed)),
        by_length=tuple(length_rows(results, seed)),
        paired_by_length=tuple(length_differences(results, kinds, n_resamples=LENGTH_DRAWS, seed=seed)),
        claims_by_length=tuple(length_claims(results, n_layers, n_resamples=LENGTH_DRAWS, seed=seed)),
        rivals=tuple(statistics.against_rivals(results, seed)),
        undefined=dict(reasons),
        notes=dict(notes),
        missing_predictions=sum(result.missing for result in results),
        coverage=statistics.mean_coverage(results),
        mean_mass_outside_0_to_10=float(np.mean(outside)) if outside else None,
        primary={"mix": PRIMARY[0], "score": PRIMARY[1]},
        leakage=dict(leakage or {}),
        cost=dict(cost or {}),
        skipped_controls=dict(skipped_controls or {}),
        readouts=tuple(readouts),
        decisions=tuple(decisions),
        paired_by_task=tuple(task_differences(results, compared, seed=seed)),
    )


def lines(units: Sequence[UnitResult]) -> tuple[ExplainedUnit, ...]:
    """A row for each unit, its controls beside it."""
    of = {(one.condition, one.unit.name): one.primary.value for one in units}
    return tuple(
        ExplainedUnit(
            unit=one.unit.name,
            score=one.primary,
            shuffled=of.get(("shuffled", one.unit.name)),
            untrained=of.get(("untrained", one.unit.name)),
            explanation=one.explanation.text,
            explanation_reason=one.explanation.reason,
        )
        for one in units
        if one.condition == "trained"
    )
