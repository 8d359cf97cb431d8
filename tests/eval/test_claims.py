"""A claim has a verdict, a kind and a reason for no number; a tally counts statements, not self-tests."""

from __future__ import annotations

import pytest

from eval.claims import KINDS, Claim, claims_rows, judge_sign, tally
from eval.scores import Score


def claim(verdict: str, kind: str = "statement of a source") -> Claim:
    return Claim("c", "s", "p", 1.0, verdict, kind=kind)  # type: ignore[arg-type]


def test_theorems_and_self_tests_are_not_counted_as_holding():
    found = [
        claim("holds"),
        claim("fails", "prediction of ours"),
        claim("holds", "theorem"),
        claim("fails", "self-test"),
    ]
    assert tally(found[:2]) == "1 hold, 1 fail, 0 cannot tell"
    assert tally(found) == "1 hold, 1 fail, 0 cannot tell (apart: 1 of 2 theorems and self-tests pass)"
    more = [*found, claim("cannot tell"), claim("holds", "self-test")]
    assert tally(more) == "1 hold, 1 fail, 1 cannot tell (apart: 2 of 3 theorems and self-tests pass)"


def test_a_kind_is_one_of_four():
    with pytest.raises(ValueError, match="expected a kind of"):
        claim("holds", "guess")
    assert [row["kind"] for row in claims_rows(claim("holds", kind) for kind in KINDS)] == list(KINDS)


def test_a_claim_is_its_json():
    one = Claim("c", "s", "p", 1.0, "fails", (0.5, 1.5), n=3, note="x", kind="theorem")
    assert one.to_json()["interval"] == [0.5, 1.5] and one.to_json()["kind"] == "theorem"
    assert Claim.from_json(one.to_json()) == one and Claim.from_json(one.to_json()).interval == (0.5, 1.5)


@pytest.mark.parametrize(
    ("low", "high", "expected", "verdict"),
    [
        (0.1, 0.3, "above", "holds"),
        (0.1, 0.3, "below", "fails"),
        (-0.3, -0.1, "above", "fails"),
        (-0.3, -0.1, "below", "holds"),
        (0.0, 0.3, "above", "cannot tell"),
        (-0.3, 0.0, "below", "cannot tell"),
    ],
)
def test_an_interval_that_touches_the_threshold_decides_nothing(low, high, expected, verdict):
    assert judge_sign(Score(0.0, low, high), expected) == verdict


def test_a_missing_end_decides_nothing_and_a_threshold_moves_the_line():
    for score in (Score(0.2), Score(0.2, low=0.1), Score(0.2, high=0.3), Score.undefined("x")):
        assert judge_sign(score, "above") == "cannot tell"
    assert judge_sign(Score(0.2, 0.1, 0.3), "above", 0.2) == "cannot tell"
    assert judge_sign(Score(0.2, 0.1, 0.3), "above", 0.05) == "holds"
    assert judge_sign(Score(0.2, 0.1, 0.3), "below", 0.3) == "cannot tell"
    assert judge_sign(Score(0.2, 0.1, 0.3), "below", 0.31) == "holds"


def test_a_claim_without_a_number_says_why_and_a_verdict_is_one_of_three():
    with pytest.raises(ValueError, match="claim 'c' has no measured value; say why in `note`"):
        Claim("c", "s", "p", None, "cannot tell")
    assert Claim("c", "s", "p", None, "cannot tell", note="why").measured is None
    with pytest.raises(ValueError, match="expected a verdict of .* got 'maybe'"):
        claim("maybe")


def test_a_row_shows_the_number_with_its_interval_or_its_error():
    shown = [
        Claim("c", "s", "p", 1.23456, "holds", (0.5, 1.5), standard_error=2.0),
        Claim("c", "s", "p", 1.23456, "holds", standard_error=0.25),
        Claim("c", "s", "p", 1.23456, "holds"),
        Claim("c", "s", "p", None, "holds", note="why"),
    ]
    assert [row["measured"] for row in claims_rows(shown)] == ["1.235 [0.5, 1.5]", "1.235 +- 0.25", "1.235", "-"]
