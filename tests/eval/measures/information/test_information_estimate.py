"""What a bound says: vacuous below 0, impossible above H(X), and from above no more than is known."""

from __future__ import annotations

import math

import pytest

from eval.measures.information.information_estimate import bound_estimate, scored
from eval.scores import Score


def test_a_bound_below_zero_is_vacuous_and_not_zero():
    found = bound_estimate("decoder", "nats", -0.34, 0.01, 2.0, 100)
    assert found.score.value is None and found.raw == -0.34
    assert found.score.reason == "vacuous: information is at least 0, and the estimate is -0.34 [-0.36, -0.32] nats"


def test_a_value_above_the_entropy_is_impossible_and_not_the_entropy():
    score = scored(29.98, 29.5, 30.5, 3.0, 100, "nats")
    assert score.value is None and "at most H(X) = 3" in str(score.reason)


def test_within_its_error_a_value_stands_at_the_end_of_the_range():
    assert scored(-0.01, -0.03, 0.01, 3.0, 9, "nats").interval == [0, 0.01]
    assert scored(3.01, 2.9, 3.1, 3.0, 9, "nats").value == 3


def test_a_lower_bound_reaches_up_to_what_is_known():
    top = 3 * math.log(2)
    bound = bound_estimate("decoder", "bits", 2 * math.log(2), 0.01, top, 100).score
    assert (
        bound.value == pytest.approx(2)
        and bound.high == pytest.approx(3)
        and bound.low == pytest.approx(1.972, abs=1e-3)
    )
    open_ended = bound_estimate("mine", "bits", 1.0, 0.01, None, 100).score
    assert open_ended.interval is None and "nothing is known from above" in str(open_ended.interval_reason)


def test_an_interval_that_touches_the_range_is_defined():
    assert scored(-1.0, -2.0, 0.0, None, 9, "nats") == Score(0.0, 0.0, 0.0, 9)
    assert scored(3.0, 2.0, 4.0, 2.0, 9, "nats") == Score(2.0, 2.0, 2.0, 9)
