"""What a connector's circuits may claim: no more than was measured beside its controls."""

from __future__ import annotations

import pytest

from eval.scores import Score
from llm_codes.lenses.circuits.levels import EDGES, UNTRAINED, levels_of, licensed
from llm_codes.lenses.circuits.rows import ChainEvaluation, LogicForms, UntrainedEvaluation
from llm_codes.lenses.connectors.rows import Agreement, EdgeValidation, Scorecard, ScorecardRow

LITTLE, MUCH = Score(0.3, 0.2, 0.4, 30), Score(0.9, 0.8, 1.0, 30)


def row(name: str, share: Score | None) -> ScorecardRow:
    return ScorecardRow(name, 3.1, Score(0.2, 0.1, 0.3, 30), None, Score(0.1), share)


def evaluation(
    own: Score, chance: Score = MUCH, untrained: Score | None = MUCH, sign: Score = MUCH, null: Score = LITTLE
) -> ChainEvaluation:
    card = Scorecard((row("connector", own), row("mean-ablated", None)), (row("random edges, refitted", chance),), 9)
    tested = Agreement(sign, MUCH, MUCH, null, LITTLE)
    beside = None
    if untrained is not None:
        beside = UntrainedEvaluation({}, "", (row("connector", untrained),), LogicForms(0, 0, {}))
    return ChainEvaluation(card, edge_validation=EdgeValidation(9, (), tested, tested), untrained=beside)


@pytest.mark.parametrize(
    ("own", "chance"), [(MUCH, MUCH), (LITTLE, LITTLE), (LITTLE, Score.undefined("none")), (Score(0.3), MUCH)]
)
def test_no_claim_without_half_of_the_ablation_and_distance_from_random_edges(own: Score, chance: Score) -> None:
    assert licensed(levels_of(evaluation(own, chance))).startswith("Licensed: none")


def test_each_part_says_what_it_saw() -> None:
    levels = {level.part: level.passed for level in levels_of(evaluation(LITTLE))}
    assert levels["necessity of the MLP"] and levels[EDGES] and levels[UNTRAINED]
    assert levels["minimality"] is None
    assert "an untrained network's leaves more" in licensed(levels_of(evaluation(LITTLE)))
    assert "says nothing of training" in licensed(levels_of(evaluation(LITTLE, untrained=LITTLE)))
    assert "was not measured" in licensed(levels_of(evaluation(LITTLE, untrained=None)))
    assert "single edges are not shown" in licensed(levels_of(evaluation(LITTLE, null=MUCH)))
