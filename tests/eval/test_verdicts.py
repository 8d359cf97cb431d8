"""The one rule: intervals against a region and against controls, p values, and families."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import above, below, both, corrected, difference, judged_claim, near, p_value, verdict_on

ALSO = "holds, and so does its control"


@pytest.mark.parametrize(
    ("low", "high", "region", "verdict"),
    [
        (0.1, 0.3, above(0), "holds"),
        (0.1, 0.3, below(0), "fails"),
        (-0.3, -0.1, above(0), "fails"),
        (-0.3, -0.1, below(0), "holds"),
        (0.0, 0.3, above(0), "cannot tell"),
        (-0.3, 0.0, below(0), "cannot tell"),
        (0.9, 1.1, near(1, 0.2), "holds"),
        (0.9, 1.3, near(1, 0.2), "cannot tell"),
        (1.3, 1.5, near(1, 0.2), "fails"),
        (0.1, 3.0, near(1, 0.2), "cannot tell"),
    ],
)
def test_the_interval_decides_and_touching_a_threshold_does_not(low, high, region, verdict):
    assert verdict_on(Score((low + high) / 2, low, high), region) == verdict


@pytest.mark.parametrize(
    ("score", "controls", "verdict"),
    [
        (Score(2, 1.7, 2.3), {"a": Score(1, 0.9, 1.1), "b": Score(1.5, 1.4, 1.6)}, "holds"),
        (Score(1.69, 1.63, 1.74), {"a": Score(1.59, 1.5, 1.69), "b": Score(1.2, 1.1, 1.3)}, ALSO),
        (Score(1.69, 1.63, 1.74), {"a": Score(1.59, 1.5, 1.68), "b": Score(1.2, 1.1, 1.3)}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score(0, -1, 0.2), "b": Score(1.5, 1.4, 1.6)}, ALSO),  # the control shows it more
        (Score(1, 0.9, 1.1), {"a": Score(0.5, -0.1, 1.2)}, "cannot tell"),  # the control itself is undecided
        (Score(-1, -2, -0.5), {"a": Score(-3, -4, -2.5)}, "fails"),  # below the threshold, though above the control
        (Score(0.1, -0.1, 0.3), {"a": Score(-3, -4, -2.5)}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score.undefined("homogeneous")}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score.undefined("homogeneous"), "b": Score(0.5)}, "holds"),
        (Score(1), {"a": Score(0.5)}, "cannot tell"),
        (Score(1, low=0.9), {"a": Score(0.5)}, "cannot tell"),
        (Score(-1, -2, -0.5), {}, "fails"),
        (Score(1, 0.9, 1.1), {}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score(0.9)}, "cannot tell"),  # touches the control, which falls short of it
        (Score(1, 0.9, 1.1), {"a": Score(1.0)}, ALSO),
        (Score(1, 0.9, 1.1), {"a": Score(0.5, low=0.4)}, "holds"),
    ],
)
def test_a_statement_must_stand_clear_of_its_highest_control(score, controls, verdict):
    assert verdict_on(score, above(0), controls) == verdict


def test_below_and_in_a_band_the_control_counts_as_well():
    low = Score(-1, -1.1, -0.9)
    assert verdict_on(low, below(0), {"a": Score(-0.5, -0.6, -0.4)}) == "holds"
    assert verdict_on(low, below(0), {"a": Score(-2, -2.1, -1.9)}) == ALSO
    band = near(-1, 0.25)
    assert verdict_on(low, band, {"a": Score(-2, -2.1, -1.9)}) == "holds"
    assert verdict_on(low, band, {"a": Score(-1.1, -1.2, -1.0)}) == ALSO
    assert verdict_on(low, band, {"a": Score(-1.2, -1.4, -1.0)}) == "cannot tell"


@pytest.mark.parametrize(("region", "sign"), [(above(0), 1), (below(0), -1)])
def test_a_verdict_that_more_data_move_passes_through_cannot_tell(region, sign):
    """The control rises from nothing to beyond the number: it must not turn `holds` into its opposite in one step."""
    score, seen = Score(sign * 1.0, *sorted((sign * 0.8, sign * 1.3))), []
    for value in np.linspace(0.05, 1.5, 200):
        half = 0.1 * value
        control = Score(sign * value, *sorted((sign * (value - half), sign * (value + half))))
        seen.append(verdict_on(score, region, {"control": control}))
    assert list(dict.fromkeys(seen)) == ["holds", "cannot tell", ALSO]


def test_a_statement_in_halves():
    assert both("holds", "holds") == "holds" and both("holds", "fails", "cannot tell") == "fails"
    assert both("holds", "cannot tell") == "cannot tell" and both("fails", "cannot tell") == "fails"
    assert both("holds", ALSO) == ALSO and both(ALSO, "cannot tell") == "cannot tell"


def test_the_p_of_an_interval_that_just_excludes_the_threshold_is_a_twentieth():
    assert p_value(Score(1.0, 0.0, 2.0), above(0)) == pytest.approx(0.05)
    assert p_value(Score(1.0, 0.0, 2.0), above(0), degrees=2) == pytest.approx(0.05)
    twice = Score(2.0, 1.0, 3.0)
    assert p_value(twice, above(0)) == pytest.approx(8.9e-5, rel=0.02)
    assert p_value(twice, above(0), degrees=2) == pytest.approx(0.0134, rel=0.02)  # three seeds know little of tails
    assert p_value(twice, above(0), {"a": Score(1.0, 0.0, 2.0)}) == pytest.approx(0.166, abs=0.002)
    assert p_value(Score(1.0), above(0)) is None


def test_few_resampled_groups_know_little_of_their_spread():
    """The interval of a bootstrap takes it for known: its p has the tail of Student's t with n - 1."""
    assert p_value(Score(1.0, 0.0, 2.0, n=10**6), above(0)) == pytest.approx(0.05, abs=1e-4)
    of_twelve = 2 * stats.t.sf(stats.norm.ppf(0.975) * (11 / 12) ** 0.5, 11)
    assert p_value(Score(1.0, 0.0, 2.0, n=12), above(0)) == pytest.approx(of_twelve) and of_twelve > 0.08
    assert p_value(Score(1.0, 0.0, 2.0, n=12), above(0), degrees=11) == pytest.approx(0.05)
    assert p_value(Score(1.0, 0.0, 2.0, n=1), above(0)) == pytest.approx(0.05)


def claims_of(values: np.ndarray, family: str = "one") -> list[Claim]:
    far = {"far below": Score.exact(-100.0)}
    return [
        judged_claim("c", "s", "p", Score(v, v - 1.96, v + 1.96), above(0), controls=far, family=family) for v in values
    ]


def test_a_family_is_corrected_together_and_both_verdicts_are_kept():
    found = corrected(claims_of(np.array([2.1, 5.0, -2.1, 0.1])))
    assert [claim.verdict for claim in found] == ["cannot tell", "holds", "cannot tell", "cannot tell"]
    assert [claim.uncorrected for claim in found] == ["holds", "holds", "fails", "cannot tell"]
    assert [claim.verdict for claim in corrected(claims_of(np.array([2.1]), ""))] == ["holds"]
    screen = corrected(claims_of(np.array([2.3, 2.4, 2.5])), method="fdr")
    assert {claim.verdict for claim in screen} == {"holds"}


def test_simulated_nulls_decide_no_more_often_than_said():
    generator = np.random.default_rng(0)
    alone, families = 0, 0
    for _ in range(200):
        found = corrected(claims_of(generator.standard_normal(17)))
        alone += sum(claim.uncorrected != "cannot tell" for claim in found)
        families += any(claim.verdict != "cannot tell" for claim in found)
    assert 0.04 < alone / 3400 < 0.06 and families / 200 < 0.08


def test_an_interval_of_no_width_leaves_no_doubt_and_without_one_there_is_no_p():
    sure = Score(1.0, 1.0, 1.0)
    assert p_value(sure, above(0)) == 0 and p_value(sure, above(1)) == 1
    assert p_value(sure, above(0), {"a": Score(0.5)}) == 0 and p_value(sure, above(0), {"a": Score(1.0)}) == 1
    assert p_value(Score(1.0), above(0)) is None


def test_a_claim_has_the_scores_interval_or_none():
    with_one = judged_claim("words", "source", "more", Score(1.0, 0.5, 1.5, 9), above(0))
    assert with_one.interval == (0.5, 1.5) and with_one.n == 9 and with_one.seeds is None
    without = judged_claim("words", "source", "more", Score(1.0, n=9, interval_reason="few"), above(0), over_seeds=True)
    assert without.interval is None and without.note == "few; no control was measured"
    assert without.seeds == 9 and without.n is None


def test_an_exact_number_has_no_chance_to_be_corrected_away():
    zero = judged_claim(
        "c", "s", "p", Score.exact(0.0), near(0.0, 0.0), controls={"other": Score.exact(1.0)}, family="f"
    )
    assert zero.p == 0.0 and corrected([zero])[0].verdict == "holds"


def test_a_difference_has_the_interval_that_the_two_imply():
    found = difference(Score(0.9, 0.8, 0.95, 30), Score(0.4, 0.3, 0.6, 20))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - 0.05**0.5, 0.5 + 0.0125**0.5))
    assert found.n == 20
    alone = difference(Score(0.9, n=3, interval_reason="3 sets"), Score(0.4, 0.3, 0.5))
    assert alone.value == 0.5 and alone.low is None and alone.interval_reason == "3 sets"
    assert difference(Score.undefined("no set"), Score(0.4)).reason == "no set"
