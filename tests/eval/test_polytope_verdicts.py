"""The rules by which the polytope lens is judged."""

import pytest

from eval.polytope_verdicts import Counted, both, controls_text, judge_above_controls, judge_counts, opposite
from eval.scores import Score


@pytest.mark.parametrize(
    ("score", "controls", "verdict"),
    [
        (Score(2, 1.7, 2.3), {"a": Score(1, 0.9, 1.1), "b": Score(1.5, 1.4, 1.6)}, "holds"),
        (Score(1.69, 1.63, 1.74), {"a": Score(1.59, 1.5, 1.68), "b": Score(1.2, 1.1, 1.3)}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score(0, -1, 0.2), "b": Score(1.5, 1.4, 1.6)}, "fails"),  # below the highest
        (Score(-1, -2, -0.5), {"a": Score(-3, -4, -2.5)}, "fails"),  # below the threshold, though above the control
        (Score(0.1, -0.1, 0.3), {"a": Score(-3, -4, -2.5)}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score.undefined("homogeneous")}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score.undefined("homogeneous"), "b": Score(0.5)}, "holds"),
        (Score(1), {"a": Score(0.5)}, "cannot tell"),
        (Score(1, low=0.9), {"a": Score(0.5)}, "cannot tell"),
        (Score(-1, -2, -0.5), {}, "fails"),
        (Score(1, 0.9, 1.1), {}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score(0.9)}, "cannot tell"),  # touches the control
        (Score(1, 0.9, 1.1), {"a": Score(1.1)}, "cannot tell"),
        (Score(1, 0.9, 1.1), {"a": Score(1.2)}, "fails"),
        (Score(1, 0.9, 1.1), {"a": Score(0.5, low=0.4)}, "holds"),
        (Score(1, 0.9, 1.1), {"a": Score(0.8, 0.7, 0.9)}, "cannot tell"),
    ],
)
def test_a_statement_must_stand_above_its_highest_control(score, controls, verdict):
    assert judge_above_controls(score, controls) == verdict


def test_the_threshold_is_part_of_the_statement():
    control = {"a": Score(0.1, 0, 0.2)}
    assert [judge_above_controls(Score(0.6, 0.4, 0.8), control, at) for at in (0.3, 0.5, 0.9)] == [
        "holds", "cannot tell", "fails",
    ]  # fmt: skip


def test_the_opposite_mirrors_value_and_interval():
    assert opposite(Score(1, 0.5, 2, 7)) == Score(-1, -2, -0.5, 7)
    assert opposite(Score(1, low=0.5)) == Score(-1) and opposite(Score(1, high=2)) == Score(-1)
    assert opposite(Score.undefined("x", 3)) == Score.undefined("x", 3)


def test_both_halves_must_hold():
    assert both("holds", "holds") == "holds" and both("holds", "fails", "cannot tell") == "fails"
    assert both("holds", "cannot tell") == "cannot tell" and both("fails", "cannot tell") == "fails"


def test_controls_are_quoted_with_their_numbers():
    said = controls_text({"noise": Score(0.5, 0.25, 0.75), "init": Score.undefined("homogeneous")})
    assert said == "noise 0.5 [0.25, 0.75]; init none"


@pytest.mark.parametrize(
    ("half", "control_half", "verdict", "said"),
    [
        (1.0, 0.4, "holds", ""),  # exact: nothing moves
        (0.95, 0.38, "holds", ""),
        (1.0, 0.2, "cannot tell", "have not settled against a"),  # .6 apart, .8 with half the samples
        (0.7, 0.1, "cannot tell", "may move it over the threshold"),
        (None, 0.4, "cannot tell", "may move it over the threshold"),
    ],
)
def test_a_verdict_rests_on_samples_only_once_doubling_moves_little(half, control_half, verdict, said):
    own, control = Counted(Score(1.0, 0.9, 1.1), half), Counted(Score(0.4, 0.3, 0.5), control_half)
    found, why = judge_counts(own, {"a": control, "b": Counted(Score.undefined("homogeneous"), None)})
    assert found == verdict and said in why and bool(why) == bool(said)


def test_a_peak_lost_to_more_samples_is_no_finding():
    """As on EfficientNet-Lite0 once: 1.684 against 1.589 from 31 samples a ray, 1.709 against 1.813 from 301."""
    own, control = Counted(Score(1.709, 1.65, 1.77), 1.684), Counted(Score(1.62, 1.6, 1.64), 1.589)
    assert judge_counts(own, {"shuffled weights": control})[0] == "holds"  # .095 and .089: settled
    control = Counted(Score(1.65, 1.64, 1.66), 1.589)  # .059 now, .095 with half the samples
    own = Counted(Score(1.72, 1.7, 1.74), 1.684)
    assert judge_counts(own, {"shuffled weights": control})[0] == "cannot tell"


def test_what_fails_at_the_threshold_needs_no_settled_control():
    own = Counted(Score(-1.0, -1.1, -0.9), -1.05)
    assert judge_counts(own, {"a": Counted(Score(-1.2, -1.3, -1.1), 5.0)}) == ("fails", "")
