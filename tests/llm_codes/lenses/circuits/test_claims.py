"""The verdicts on connectors: the gap's interval decides; a form that was not found is no proof of absence."""

from __future__ import annotations

import pytest

from eval.scores import Score
from llm_codes.lenses.circuits.claims import UNTRAINED, claims_of
from llm_codes.lenses.circuits.rows import LogicForms, UntrainedEvaluation
from llm_codes.lenses.connectors.rows import Scorecard, ScorecardRow

NOTHING = Score(1.1, 0.9, 1.3)
NONE = LogicForms(5, 9, {"or": 0, "and-not": 0})


def row(name: str, share_of_kl: Score | None, share_of_gap: Score | None = None) -> ScorecardRow:
    return ScorecardRow(name, 3.1, Score(0.2), share_of_gap, Score(0.1), share_of_kl)


def scorecard(share: Score | None, control: Score | None = Score(0.9, 0.8, 1.0)) -> Scorecard:  # noqa: B008
    """The share in cross-entropy is another one, which decides nothing."""
    controls = (row("random edges, refitted", control),) if control else ()
    return Scorecard((row("SAE-out only", None), row("connector", share, Score(0.7, 0.6, 0.8))), controls, 1000)


def untrained(share: Score | None = NOTHING, forms: LogicForms = NONE) -> UntrainedEvaluation:
    return UntrainedEvaluation({}, "", scorecard(share).scorecard, forms)


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
    claim = claims_of(scorecard(share), NONE, untrained())[0]
    assert claim.verdict == verdict
    assert claim.measured == (None if share is None else share.value)


def test_random_edges_that_do_as_well_are_said():
    same = claims_of(scorecard(Score(0.3, 0.2, 0.4), Score(0.35, 0.3, 0.4)), NONE, untrained())[0]
    assert same.verdict == "holds, and so does its control"


@pytest.mark.parametrize(
    ("control", "verdict"),
    [
        (Score(0.25, 0.2, 0.3), "holds, and so does its control"),
        (Score(0.4, 0.36, 0.44), "cannot tell"),  # not clear of it
        (Score.undefined("the ablation is no worse than the reference"), "cannot tell"),
        (None, "cannot tell"),
    ],
)
def test_an_untrained_network_that_does_as_well_is_said(control: Score | None, verdict: str):
    """Its connector is compared by the same number: as good a share, or none, and it does not hold."""
    claim = claims_of(scorecard(Score(0.3, 0.2, 0.4)), NONE, untrained(control))[0]
    assert claim.verdict == verdict
    assert (f"{UNTRAINED}: not measured" in claim.note) == (control is None or not control.is_defined)


def test_without_the_untrained_network_no_statement_holds():
    found = claims_of(scorecard(Score(0.3, 0.2, 0.4)), forms(30, 80, 0, "or", "and-not"), None)
    assert [claim.verdict for claim in found] == ["cannot tell"] * 3
    assert all(f"{UNTRAINED}: not measured" in claim.note for claim in found)


def forms(named: int, of: int, in_others: int | None, *kinds: str) -> LogicForms:
    """So many outputs named by each of these kinds (`or` where none is given), none by the others."""
    counts = {"or": 0, "and-not": 0} | dict.fromkeys(kinds or ("or",), named)
    control = None if in_others is None else {"or": in_others, "and-not": 0}
    return LogicForms(of, 9, counts, (), control, None if control is None else 80)


@pytest.mark.parametrize(
    ("named", "in_others", "in_untrained", "verdict"),
    [
        (30, 0, 0, "holds"),
        (30, 5, 0, "holds"),
        (30, 25, 0, "holds, and so does its control"),
        (30, 0, 25, "holds, and so does its control"),
        (3, 0, 0, "cannot tell"),  # not clear of what the control could have had
        (30, None, 25, "holds, and so does its control"),
        (0, 0, 0, "cannot tell"),  # none is no proof of absence
    ],
)
def test_forms_hold_where_controls_give_fewer(named: int, in_others: int | None, in_untrained: int, verdict: str):
    """A form that any lively inputs, or an untrained network's features, give as often is not the work of the edges."""
    control = untrained(forms=forms(in_untrained, 80, None))
    _, either, but_not = claims_of(scorecard(None), forms(named, 80, in_others), control)
    assert either.verdict == verdict and either.measured == named / 80 and "OR" in either.claim
    assert but_not.verdict == "cannot tell" and "AND-NOT" in but_not.claim


def test_an_untrained_network_of_which_no_output_could_be_tested_is_no_control():
    control = untrained(forms=LogicForms(0, 0, {}))
    either = claims_of(scorecard(None), forms(30, 80, 0), control)[1]
    assert either.verdict == "cannot tell" and f"{UNTRAINED}: not measured" in either.note
