"""Confidence sequences hold at every look, are narrow where values are, and are refused for values out of bounds."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.statistics.confidence_sequences import betting_sequence

DRAWS = {
    "differences of scores": (lambda rng, n: rng.beta(3, 4, n) - rng.beta(3, 4, n), -1.0, 0.0),
    "rare": (lambda rng, n: (rng.random(n) < 0.03).astype(float), 0.0, 0.03),
    "fair coin": (lambda rng, n: rng.integers(0, 2, n).astype(float), 0.0, 0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_miscoverage_under_continuous_watching_is_at_most_the_level(name: str) -> None:
    draw, low, mean = DRAWS[name]
    rng, missed = np.random.default_rng(0), 0
    for _ in range(1000):
        lower, upper = betting_sequence(draw(rng, 120), low=low, high=1.0, candidates=200)
        missed += bool(np.any((lower > mean) | (upper < mean)))
    assert missed / 1000 <= 0.05


def test_it_is_narrow_where_values_are_and_only_ever_narrows() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.05, 400).clip(-1, 1)
    lower, upper = betting_sequence(values, low=-1.0, high=1.0)
    assert lower[-1] <= 0.3 <= upper[-1] and upper[-1] - lower[-1] < 0.06  # Hoeffding's, for one look: 0.19
    assert np.all(np.diff(lower) >= 0) and np.all(np.diff(upper) <= 0) and lower[0] <= -0.9 and upper[0] >= 0.9


def test_one_value_decides_nothing_and_none_has_no_look() -> None:
    lower, upper = betting_sequence(np.array([1.0]), low=0.0, high=1.0)
    assert lower[0] < 0.1 and upper[0] == 1.0
    assert all(len(end) == 0 for end in betting_sequence(np.zeros(0), low=0.0, high=1.0))


def test_a_change_of_units_changes_nothing_else() -> None:
    values = np.random.default_rng(2).random(50)
    lower, upper = betting_sequence(values, low=0.0, high=1.0)
    scaled = betting_sequence(10 * values - 5, low=-5.0, high=5.0)
    np.testing.assert_allclose(scaled, (10 * lower - 5, 10 * upper - 5), atol=1e-9)


@pytest.mark.parametrize("values", [[0.5, 1.5], [-0.1], [np.nan]])
def test_values_out_of_bounds_are_refused(values: list[float]) -> None:
    with pytest.raises(UserError, match="expected values between 0 and 1, the lower bound first; widen the bounds"):
        betting_sequence(np.array(values), low=0.0, high=1.0)
