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


def forms(named: int, of: int, in_others: int | None, others: int = 80) -> LogicForms:
    control = None if in_others is None else {"or": in_others, "and-not": 0}
    return LogicForms(of, 9, {"or": named, "and-not": 0}, (), control, None if control is None else others)


@pytest.mark.parametrize(
    ("named", "in_others", "verdict"),
    [
        (30, 0, "holds"),
        (30, 5, "holds"),
        (30, 25, "holds, and so does its control"),
        (3, 0, "cannot tell"),  # not clear of what the control could have had
        (30, None, "cannot tell"),  # its control was not measured
        (0, 0, "cannot tell"),  # none is no proof of absence
    ],
)
def test_forms_hold_where_the_parents_of_another_output_give_fewer(named: int, in_others: int | None, verdict: str):
    """A form that any lively inputs give as often is not the work of the edges."""
    _, either, but_not = claims_of(scorecard(None), forms(named, 80, in_others))
    assert either.verdict == verdict and either.measured == named / 80 and "OR" in either.claim
    assert but_not.verdict == "cannot tell" and "AND-NOT" in but_not.claim
