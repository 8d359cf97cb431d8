"""Claims are judged against random and shuffled features and as many neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eval.scores import Score
from llm_codes.lenses.faithfulness.claims import SMALL, claims_of
from llm_codes.lenses.faithfulness.levels import levels_of, strongest_level
from llm_codes.lenses.faithfulness.rows import (
    ALL_KINDS,
    METRICS,
    Curve,
    CurvePoint,
    CurveResults,
    Stability,
    UntrainedCurves,
)


def curve(nodes: str, errors: str, ranking: str, value: float, kept: float) -> Curve:
    score = Score(value, value - 0.02, value + 0.02, 25)
    points = (
        CurvePoint(SMALL, kept, score),
        CurvePoint(2 * SMALL, 2 * kept, Score(value + 0.1, value + 0.08, value + 0.12, 25)),
    )
    return Curve(ALL_KINDS, nodes, errors, "mean", ranking, METRICS[0], 60, score, score, points)


UNTRAINED = [curve("features", "stay", ranking, 0.3, 100) for ranking in ("graph", "gradients")]


def verdicts(shuffled: float, untrained: Sequence[Curve] = UNTRAINED) -> dict[str, str]:
    curves = [
        curve("features", "stay", "graph", 0.9, 100),
        curve("features", "stay", "gradients", 0.95, 100),
        curve("features", "stay", "random", 0.0, 100),
        curve("shuffled features", "stay", "gradients", shuffled, 100),
        curve("neurons", "none", "gradients", 0.2, 50),
    ]
    return {claim.claim: claim.verdict for claim in claims_of(curves, untrained) if "errors stay, mean" in claim.claim}


def test_what_shuffled_features_do_as_well_is_no_finding() -> None:
    assert set(verdicts(0.1).values()) == {"holds"}
    assert set(verdicts(0.96).values()) == {"holds, and so does its control"}
    assert len(verdicts(0.1)) == 2


def test_without_the_untrained_network_no_statement_holds_and_beside_one_as_faithful_neither() -> None:
    assert set(verdicts(0.1, ()).values()) == {"cannot tell"}
    alike = [curve("features", "stay", ranking, 0.96, 100) for ranking in ("graph", "gradients")]
    assert set(verdicts(0.1, alike).values()) == {"holds, and so does its control"}


def test_neurons_are_compared_where_as_many_are_kept() -> None:
    def beside(curves: list[Curve]) -> float | None:
        controls = claims_of(curves, UNTRAINED)[0].controls
        return None if controls is None else controls["as many neurons by gradients"].value

    neurons = curve("neurons", "none", "gradients", 0.2, 50)  # 0.3 where 100 are kept
    features = [curve("features", "stay", ranking, 0.9, 100) for ranking in ("graph", "gradients", "random")]
    assert beside([*features, neurons]) == 0.30000000000000004
    assert beside([*features[1:], neurons]) == 0.2  # without the graph's curve nobody knows how many: the fewest


@pytest.mark.parametrize(("there", "words"), [(0.3, "other prompts or about"), (0.95, "training, without which")])
def test_what_training_did_is_licensed_only_beside_the_untrained_network(there: float, words: str) -> None:
    curves = [curve("features", errors, "graph", 0.9, 100) for errors in ("stay", "ablated")]
    curves += [curve("features", "stay", "random", 0.0, 100)]
    untrained = UntrainedCurves({}, "", (curve("features", "stay", "graph", there, 100),))
    overlap = Score(0.8, 0.7, 0.9, 25)
    stable = (Stability(ALL_KINDS, 100, overlap, overlap, overlap, 0.1),)
    results = CurveResults((), tuple(curves), stable, (), untrained)
    assert f"Nothing is licensed about {words}" in strongest_level(levels_of(results))
    alone = replace(results, untrained=None)
    assert "Nothing is licensed about other prompts, about minimality, or" in strongest_level(levels_of(alone))
