"""Another metric of predictions that were kept: by unit, by layer and between kinds, without a rerun.

Intervals are over units (`statistics.mean_over_units`), the documents being those of the run; a difference of kinds
has the studentised permutation p, Holm-corrected over the layers of a pair. For the interval over units *and*
documents of the published scores see the run's own ``results.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from eval.errors import UserError
from eval.explanation.comparison.statistics import mean_over_units
from eval.explanation.rescoring.metrics import metric_named, metric_score
from eval.explanation.rescoring.predictions import KEPT_MIXES, UnitPredictions, read_predictions
from eval.explanation.units import compared_kinds
from eval.measures.statistics.resampling import holm
from eval.measures.statistics.small_samples import studentised_permutation_test
from eval.result_json import measured
from eval.results import Result, result
from eval.scores import Score


@result
class RescoredUnit(Result):
    """One unit in one condition. kind: as in the tables of the run; score: its value of the metric."""

    unit: str
    kind: str
    layer: int
    explanation: str | None
    score: Score


@result
class RescoredLayer(Result):
    """Mean over the units of a kind in a layer; n: units with a value; undefined: units without one."""

    kind: str
    layer: int
    undefined: int
    mean: Score = measured(ci="ci", reason="reason", n="n")


@result
class RescoredPair(Result):
    """Mean of kind a minus that of kind b in a layer; p: of permuted labels, Holm over the layers of the pair."""

    layer: int
    a: str
    b: str
    difference: float | None
    p: float | None
    p_uncorrected: float | None
    n: int


@result
class Rescored(Result):
    """A run's predictions under another metric. run: the folder as it was named; mix: of windows."""

    run: str
    metric: str
    mix: str
    by_layer: tuple[RescoredLayer, ...]
    paired: tuple[RescoredPair, ...]
    units: tuple[RescoredUnit, ...]

    table = "by_layer"
    columns = ("kind", "layer", "n", "undefined", "mean", "ci")


def rescore(run: str, metric: str = "spearman", mix: str = "random", *, seed: int = 0) -> Rescored:
    """Score the predictions that a run kept by another metric.

    Args:
        run: folder of an `explain` run. metric: a name of `metrics`, or `file.py:name`. mix: random, top, or
        top_and_random (both pooled).

    Raises:
        UserError: no predictions in the folder, an unknown metric or mix.
    """
    name = metric_named(metric)
    members = _by_unit(read_predictions(run), mix)
    rows = [_rescored(parts, name) for parts in members]
    compared = compared_kinds((parts[0].unit, parts[0].condition) for parts in members)
    groups: dict[tuple[str, int], list[Score]] = {}
    for row in rows:
        groups.setdefault((row.kind, row.layer), []).append(row.score)
    return Rescored(
        run=run,
        metric=name,
        mix=mix,
        by_layer=tuple(_layer(kind, layer, scores, seed) for (kind, layer), scores in groups.items()),
        paired=tuple(_pairs(groups, compared, seed)),
        units=tuple(rows),
    )


def _by_unit(predictions: Iterable[UnitPredictions], mix: str) -> list[list[UnitPredictions]]:
    """The mixes wanted of every unit and condition, in order."""
    wanted = {"random": ("random",), "top": ("top",), "top_and_random": KEPT_MIXES}
    if mix not in wanted:
        raise UserError(f"expected a mix of {', '.join(wanted)}, got {mix!r}; choose one")
    found: dict[tuple[str, str], list[UnitPredictions]] = {}
    for one in predictions:
        if one.mix in wanted[mix]:
            found.setdefault((one.unit.name, one.condition), []).append(one)
    return list(found.values())


def _rescored(members: Sequence[UnitPredictions], metric: str) -> RescoredUnit:
    first = members[0]
    if not first.scale > 0:
        score = Score.undefined("the unit is zero on every token of the explain documents", 0)
    else:
        pooled = [np.concatenate([getattr(m, name) for m in members]) for name in ("truth", "predicted", "document")]
        score = metric_score(metric, *pooled)
    return RescoredUnit(first.unit.name, first.label, first.unit.layer, first.explanation, score)


def _layer(kind: str, layer: int, scores: Sequence[Score], seed: int) -> RescoredLayer:
    mean = mean_over_units(scores, seed=seed)
    return RescoredLayer(kind, layer, len(scores) - (mean.n or 0), mean)


def _pairs(
    groups: dict[tuple[str, int], list[Score]], compared: Sequence[tuple[str, str]], seed: int
) -> list[RescoredPair]:
    out = []
    for a, b in compared:
        layers = sorted(layer for kind, layer in groups if kind == a and (b, layer) in groups)
        values = [[np.array([s.value for s in groups[k, layer] if s.value is not None]) for k in (a, b)]
                  for layer in layers]  # fmt: skip
        p = np.array([studentised_permutation_test(x, y, seed=seed) for x, y in values])
        for layer, (x, y), own, adjusted in zip(layers, values, p, holm(p) if len(p) else p, strict=True):
            gap = float(x.mean() - y.mean()) if len(x) and len(y) else None
            known = [float(v) if np.isfinite(v) else None for v in (adjusted, own)]
            out.append(RescoredPair(layer, a, b, gap, known[0], known[1], len(x) + len(y)))
    return out
