"""A claim has a verdict, a kind and a reason for no number; a tally counts statements, not self-tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.claims import KINDS, Claim, claims_rows, measured_text, tally


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
    with_control = [*found[:2], claim("holds, and so does its control")]
    assert tally(with_control) == "1 hold, 1 hold, and so does their control, 1 fail, 0 cannot tell"
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


def test_a_number_is_exact_only_where_its_interval_is_that_number():
    base = claim("cannot tell")

    def text(interval: tuple[float, float] | None, standard_error: float | None = None) -> str:
        return measured_text(replace(base, measured=0.5, interval=interval, standard_error=standard_error))

    assert text((0.5, 0.5)) == "0.5 (exact)"
    assert text((0.5, 0.6)) == "0.5 [0.5, 0.6]" and text((0.4, 0.5)) == "0.5 [0.4, 0.5]"
    assert text(None) == "0.5" and text(None, 0.1) == "0.5 +- 0.1"
    assert measured_text(replace(base, measured=None, note="why")) == "-"
