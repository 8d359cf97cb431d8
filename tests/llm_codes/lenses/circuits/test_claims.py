"""The verdicts on connectors: the gap's interval decides; a form that was not found is no proof of absence."""

from __future__ import annotations

import pytest

from eval.scores import Score
from llm_codes.lenses.circuits.claims import claims_of
from llm_codes.lenses.circuits.rows import LogicForms
from llm_codes.lenses.connectors.rows import Scorecard, ScorecardRow


def scorecard(share: Score | None, control: Score | None = Score(0.9, 0.8, 1.0)) -> Scorecard:  # noqa: B008
    other = ScorecardRow("SAE-out only", 3.0, Score(0.1), Score(2.0, 1.9, 2.1))
    controls = (ScorecardRow("random edges, refitted", 3.4, Score(0.5), control),) if control else ()
    return Scorecard((other, ScorecardRow("connector", 3.1, Score(0.2), share)), controls, 1000)


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (Score(0.3, 0.2, 0.4), "holds"),
        (Score(0.7, 0.6, 0.8), "fails"),
        (Score(0.5, 0.4, 0.6), "cannot tell"),
        (Score.undefined("no gap"), "cannot tell"),
        (None, "cannot tell"),
    ],
)
def test_at_most_half_of_the_ablation_gap(share: Score | None, verdict: str):
    claim = claims_of(scorecard(share), LogicForms(5, 9, {"or": 0, "and-not": 0}))[0]
    assert claim.verdict == verdict
    assert claim.measured == (None if share is None else share.value)


def test_random_edges_that_do_as_well_are_said():
    logic = LogicForms(5, 9, {"or": 0, "and-not": 0})
    same = claims_of(scorecard(Score(0.3, 0.2, 0.4), Score(0.35, 0.3, 0.4)), logic)[0]
    assert same.verdict == "holds, and so does its control"
    assert claims_of(scorecard(Score(0.3, 0.2, 0.4), None), logic)[0].verdict == "cannot tell"


def test_a_named_form_holds_and_none_decides_nothing():
    _, either, but_not = claims_of(scorecard(None), LogicForms(5, 9, {"or": 2, "and-not": 0}))
    assert (either.verdict, either.measured, but_not.verdict) == ("holds", 2.0, "cannot tell")
    assert "OR" in either.claim and "AND-NOT" in but_not.claim
