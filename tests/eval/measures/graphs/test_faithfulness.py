"""Curves and areas against hand calculation."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.graphs.faithfulness import faithfulness

SHARES = np.array([0.0, 0.5, 1.0])


def test_a_straight_line_has_half_the_area() -> None:
    found = faithfulness(np.array([[1.0, 2.0, 3.0], [0.0, 2.0, 4.0]]), np.array([3.0, 4.0]), SHARES, np.arange(2))
    assert [one.value for one in found.curve] == pytest.approx([0, 0.5, 1])
    assert found.cpr.value == pytest.approx(0.5) and found.cmd.value == pytest.approx(0.5)
    assert found.cpr.interval is None and found.cpr.interval_reason  # two groups are too few


def test_a_part_that_overshoots_has_a_large_area_and_a_distance() -> None:
    found = faithfulness(np.array([[0.0, 2.0, 1.0]]), np.array([1.0]), SHARES, np.arange(1))
    assert found.cpr.value == pytest.approx(1.25) and found.cmd.value == pytest.approx(0.75)


def test_intervals_are_over_groups() -> None:
    rng = np.random.default_rng(0)
    metric = np.concatenate([np.zeros((60, 1)), rng.uniform(0, 1, (60, 1)), np.ones((60, 1))], 1)
    found = faithfulness(metric, np.ones(60), SHARES, np.repeat(np.arange(30), 2))
    assert found.cpr.n == 30 and found.cpr.low < found.cpr.value < found.cpr.high


def test_prompts_on_which_nothing_happens_are_undefined() -> None:
    found = faithfulness(np.ones((1, 3)), np.ones(1), SHARES, np.arange(1))
    assert found.cpr.value is None and found.cpr.reason


def test_shares_without_an_end_are_refused() -> None:
    with pytest.raises(UserError, match="expected shares that rise from 0 to 1; got .* add both ends"):
        faithfulness(np.ones((1, 2)), np.ones(1), np.array([0.0, 0.5]), np.arange(1))


def test_a_share_that_stands_twice_is_refused() -> None:
    with pytest.raises(UserError, match="expected shares that rise from 0 to 1; got "):
        faithfulness(np.zeros((2, 4)), np.ones(2), np.array([0.0, 0.5, 0.5, 1.0]), np.arange(2))
