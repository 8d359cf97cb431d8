"""Tables of an explanation run: rows by unit, by layer, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.explanation import statistics
from eval.explanation.evaluate import PRIMARY, UnitResult

if TYPE_CHECKING:
    pass


def pairs_of(results: Sequence[UnitResult]) -> list[tuple[str, str]]:
    """Which kinds are compared: neurons with every other kind, and every kind with its own controls."""
    labels = list(dict.fromkeys(statistics.label(result) for result in results))
    plain = [name for name in labels if "(" not in name]
    first = plain[0]
    return [(first, other) for other in plain[1:]] + [(name.split(" (")[0], name) for name in labels if "(" in name]


def summarise(results: Sequence[UnitResult], n_layers: int, seed: int = 0) -> dict[str, Any]:
    """The tables of `results.json`: by layer, pairs, nulls, baselines, claims, faults."""
    reasons: dict[str, int] = {}
    notes: dict[str, int] = {}
    for result in results:
        if result.primary.reason:
            key = f"{statistics.label(result)}: {result.primary.reason}"
            reasons[key] = reasons.get(key, 0) + 1
        for note, count in result.notes.items():
            notes[note] = notes.get(note, 0) + count
    baselines = sorted({name for result in results for name in result.baselines} - {"constant"})
    outside = [result.outside for result in results if result.outside is not None]
    claims = statistics.depth_claims(results, n_layers, seed=seed)
    return {
        "by_layer": statistics.by_layer(results, lambda result: result.primary, seed),
        "paired": statistics.differences(results, pairs_of(results), seed=seed),
        "null": statistics.against_null(results, seed),
        "baselines": {name: statistics.against_baseline(results, name, seed) for name in baselines},
        "by_score": statistics.every_score(results, seed),
        "claims": [claim.as_json() for claim in claims],
        "undefined": reasons,
        "notes": notes,
        "missing_predictions": sum(result.missing for result in results),
        "mean_mass_outside_0_to_10": float(np.mean(outside)) if outside else None,
        "primary": {"mix": PRIMARY[0], "score": PRIMARY[1]},
    }


def scores_row(result: UnitResult) -> dict[str, Any]:
    """One line of `scores.jsonl`: the unit, its words, every score with its interval or reason."""

    def fields(scores: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for name, score in scores.items() for key, value in score.fields(name).items()}

    return {
        "unit": result.unit.name,
        "kind": statistics.label(result),
        "layer": result.unit.layer,
        "index": result.unit.index,
        "site": result.unit.site,
        "source": result.unit.source,
        "condition": result.condition,
        "sign": result.sign,
        "scale": result.scale,
        "explanation": result.explanation.text,
        "explanation_reason": result.explanation.reason,
        "scores": {mix: fields(scores) for mix, scores in result.scores.items()},
        "baselines": {
            name: {mix: fields(scores) for mix, scores in by_mix.items()} for name, by_mix in result.baselines.items()
        },
        "tasks": {task: fields(scores) for task, scores in result.tasks.items()},
        **result.null.fields("other_units_explanations"),
        "mass_outside_0_to_10": result.outside,
        "missing_predictions": result.missing,
        "notes": result.notes,
    }
