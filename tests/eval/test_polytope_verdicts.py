"""Verdicts on counts that may be sampled."""

import pytest

from eval.polytope_verdicts import Counted, judge_counts
from eval.scores import Score


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


def test_a_control_without_half_the_samples_has_not_settled_and_a_quarter_is_too_much():
    own, unknown = Counted(Score(1.0, 0.9, 1.1), 1.0), Counted(Score(0.4, 0.3, 0.5), None)
    assert not own.settled_against(0.0, unknown) and own.settled_against(0.0)
    assert judge_counts(own, {"a": unknown}) == (
        "cannot tell", "sampled counts have not settled against a: take more samples",
    )  # fmt: skip
    assert not own.settled_against(0.0, Counted(Score.undefined("none"), 0.4))
    assert not Counted(Score(1.0), 0.75).settled_against(0.0) and Counted(Score(1.0), 0.76).settled_against(0.0)
    assert Counted(Score(0.5), 0.5).settled_against(0.5)  # on the threshold, whatever the samples
