"""Score against description length, in rows: means, differences of kinds and the statement's verdict at each length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eval.claims import Claim
from eval.explanation.comparison.claims import depth_claims
from eval.explanation.comparison.statistics import by_layer, differences
from eval.explanation.results import (
    PRIMARY,
    KindDifference,
    LayerMean,
    LengthClaim,
    LengthDifference,
    LengthMean,
    PooledScores,
    UnitResult,
)
from eval.explanation.scoring.scorers import SCORES
from eval.scores import Score


def at_length(results: Sequence[UnitResult], name: str) -> list[UnitResult]:
    """The same units with their score of one length in place of the primary one."""
    out = []
    for result in results:
        found = next((one for one in result.lengths if one.length == name), None)
        if found is not None:
            mix, score = PRIMARY
            undefined = Score.undefined("only the primary score is computed at this length")
            scores = PooledScores(**{**dict.fromkeys(SCORES, undefined), score: found.score})
            out.append(replace(result, scores={mix: scores}, sums={mix: found.sums}, bits=found.bits))
    return out


def names_of(results: Sequence[UnitResult]) -> list[str]:
    """The lengths that were scored, short ones first."""
    return list(dict.fromkeys(one.length for result in results for one in result.lengths))


def length_rows(results: Sequence[UnitResult], seed: int = 0) -> list[LengthMean]:
    """Mean score by length, kind and layer."""
    rows = []
    for name in names_of(results):
        budget = next(one.budget for result in results for one in result.lengths if one.length == name)
        found: list[LayerMean] = by_layer(at_length(results, name), lambda result: result.primary, seed)
        rows += [LengthMean(name, budget, row) for row in found]
    return rows


def length_differences(
    results: Sequence[UnitResult], pairs: Sequence[tuple[str, str]], **options: Any
) -> list[LengthDifference]:
    """The kinds compared at each length; p is Holm-corrected over the layers of a pair and length."""
    rows = []
    for name in names_of(results):
        found: list[KindDifference] = differences(at_length(results, name), pairs, **options)
        rows += [LengthDifference(name, row) for row in found]
    return rows


def length_claims(results: Sequence[UnitResult], n_layers: int, **options: Any) -> list[LengthClaim]:
    """The statement of [MK Fig. 7b], judged at each length."""
    out = []
    for name in names_of(results):
        found: list[Claim] = depth_claims(at_length(results, name), n_layers, **options)
        out += [LengthClaim(name, claim) for claim in found]
    return out
