"""A score is a value or a reason; a claim has a verdict that its interval earns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.claims import Claim, claims_rows
from eval.errors import UserError, known_name, nearest
from eval.scores import Score
from eval.verdicts import above, below, verdict_on


def test_value_or_reason_never_both_never_neither():
    with pytest.raises(ValueError, match="expected a value or a reason"):
        Score(None)
    with pytest.raises(ValueError, match="expected a value or a reason"):
        Score(1.0, reason="x")
    with pytest.raises(ValueError, match="use Score.undefined"):
        Score(float("nan"))


def test_fields_put_the_reason_beside_the_null():
    assert Score.undefined("too few documents", 3).fields("alpha") == {
        "alpha": None,
        "alpha_ci": None,
        "alpha_n": 3,
        "alpha_reason": "too few documents",
    }
    assert Score(-1.0, -1.2, -0.8).fields("alpha") == {"alpha": -1.0, "alpha_ci": [-1.2, -0.8]}
    assert Score(0.5, interval_reason="3 documents").fields("r")["r_reason"] == "3 documents"


@given(st.floats(-5, 5), st.floats(0, 5), st.floats(-3, 3))
def test_verdict_follows_the_interval(middle, half, threshold):
    score = Score(middle, middle - half, middle + half)
    verdict = verdict_on(score, above(threshold))
    if verdict == "holds":
        assert middle - half > threshold
    elif verdict == "fails":
        assert middle + half < threshold
    opposite = {"holds": "fails", "fails": "holds", "cannot tell": "cannot tell"}
    assert verdict_on(score, below(threshold)) == opposite[verdict]


def test_an_undefined_score_decides_nothing():
    assert verdict_on(Score.undefined("x"), above(0.0)) == "cannot tell"


def test_claims_need_a_reason_for_no_number():
    with pytest.raises(ValueError, match="say why in `note`"):
        Claim("c", "s", "p", None, "cannot tell")
    with pytest.raises(ValueError, match="expected a verdict"):
        Claim("c", "s", "p", 1.0, "maybe")  # type: ignore[arg-type]
    rows = claims_rows(
        [
            Claim("c", "s", "p", 1.0, "fails", interval=(0.5, 1.5)),
            Claim("d", "s", "p", 2.0, "holds", standard_error=0.1),
        ]
    )
    assert rows[0]["measured"] == "1 [0.5, 1.5]" and rows[1]["measured"] == "2 +- 0.1"


def test_typos_get_the_nearest_names():
    assert nearest("resid_pots", ["resid_post", "mlp_out"]) == "did you mean resid_post?"
    assert nearest("xyz", ["resid_post"]) == "known: resid_post"
    with pytest.raises(UserError, match="unknown split 'trian': did you mean train"):
        known_name("trian", ["train", "all"], "split")


def test_an_exact_value_is_its_own_interval():
    score = Score.exact(0.25, 16)
    assert (score.value, score.interval, score.n) == (0.25, [0.25, 0.25], 16)
