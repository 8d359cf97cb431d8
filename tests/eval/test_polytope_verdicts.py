"""The rules by which the polytope lens is judged."""

import pytest

from eval.polytope_verdicts import both, controls_text, judge_above_controls
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
    ],
)
def test_a_statement_must_stand_above_its_highest_control(score, controls, verdict):
    assert judge_above_controls(score, controls) == verdict


def test_both_halves_must_hold():
    assert both("holds", "holds") == "holds" and both("holds", "fails", "cannot tell") == "fails"
    assert both("holds", "cannot tell") == "cannot tell"


def test_controls_are_quoted_with_their_numbers():
    said = controls_text({"noise": Score(0.5, 0.25, 0.75), "init": Score.undefined("homogeneous")})
    assert said == "noise 0.5 [0.25, 0.75]; init none"
