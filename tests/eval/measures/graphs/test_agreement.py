"""Agreement of predicted and measured changes on numbers whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from eval.measures.graphs.agreement import agreement


def test_perfect_predictions_and_half_the_size() -> None:
    generator = np.random.default_rng(0)
    predicted, group = generator.normal(size=300), np.repeat(np.arange(30), 10)
    exact = agreement(predicted, predicted, group)
    assert [exact.sign.value, exact.rank.value, exact.r2.value, exact.slope.value] == pytest.approx([1, 1, 1, 1])
    assert exact.sign.n == 30
    half = agreement(predicted, predicted / 2, group)
    assert half.slope.value == pytest.approx(0.5) and half.rank.value == pytest.approx(1) and half.sign.value == 1
    assert half.r2.value == pytest.approx(1 - 0.25 * np.square(predicted).sum() / (0.25 * 300 * predicted.var()))


def test_chance_is_a_half_and_no_rank() -> None:
    generator = np.random.default_rng(1)
    found = agreement(generator.normal(size=2000), generator.normal(size=2000), np.repeat(np.arange(40), 50))
    assert found.sign.low < 0.5 < found.sign.high and found.rank.low < 0 < found.rank.high
    assert found.r2.value < 0  # an unrelated prediction is worse than the mean


def test_a_prediction_of_nothing_has_no_sign() -> None:
    found = agreement(np.array([0.0, 1.0, -1.0]), np.array([1.0, 2.0, 0.0]), np.arange(3))
    assert found.sign.value == 0.5  # the 0 is left out; a measured 0 is wrong
    assert agreement(np.zeros(2), np.zeros(2), np.arange(2)).sign.reason == "expected at least 3 tests, got 2"
