"""Few values: intervals cover what they say, tests keep their level, degenerate samples have reasons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from eval.measures.statistics.small_samples import (
    _t_of_weights,
    expanded_levels,
    of_another,
    standard_error,
    studentised_mean,
    studentised_permutation_test,
)

DRAWS = {
    "normal": (lambda rng, n: rng.normal(size=n), 0.0),
    "skewed": (lambda rng, n: rng.beta(2, 5, n), 2 / 7),
    "a third zeros": (lambda rng, n: np.where(rng.random(n) < 0.3, 0.0, rng.beta(4, 4, n)), 0.35),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_interval_of_eight_values_covers_what_it_says(name: str) -> None:
    draw, mean = DRAWS[name]
    rng = np.random.default_rng(0)
    found = [studentised_mean(draw(rng, 8), n_resamples=1000, seed=trial) for trial in range(800)]
    covered = np.mean([score.low <= mean <= score.high for score in found if score.low is not None])
    assert 0.925 <= covered <= 0.975  # 95% within what 800 trials show


def test_a_mean_by_hand_and_its_degenerate_cases() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    found = studentised_mean(values)
    low, high = stats.t.interval(0.95, 7, 4.5, values.std(ddof=1) / np.sqrt(8))
    assert found.value == 4.5 and found.n == 8
    assert found.low == pytest.approx(low, abs=0.4) and found.high == pytest.approx(high, abs=0.4)
    assert studentised_mean(np.full(9, 0.3)).interval == pytest.approx((0.3, 0.3))
    assert studentised_mean(np.array([1.0, np.nan])).interval_reason == "1 values; an interval needs at least 8"
    assert studentised_mean(np.array([np.nan])).reason == "no values"
    lonely = np.array([0.0, 0, 0, 0, 0, 0, 0, 1.0])
    assert studentised_mean(lonely).interval_reason == "8 values, too many of them equal for an interval"
    nearly = lonely + 1e-9 * np.arange(8)  # constant explanations that differ by rounding
    assert studentised_mean(nearly).interval_reason == "8 values, too many of them equal for an interval"
    assert standard_error(values) == pytest.approx(stats.sem(values))


def test_expanded_levels_are_those_of_t() -> None:
    low, high = expanded_levels(8)
    assert low == pytest.approx(stats.norm.cdf(-np.sqrt(8 / 7) * stats.t.ppf(0.975, 7))) and high == 1 - low
    assert expanded_levels(10**6)[0] == pytest.approx(0.025, abs=1e-5)


def test_the_studentised_test_keeps_its_level_where_the_plain_one_does_not() -> None:
    """Same mean, unequal sizes and spreads: the plain permutation of the difference rejects more than 1 in 10."""
    from eval.measures.statistics.resampling import permutation_test

    rng = np.random.default_rng(1)
    plain = studentised = 0
    for trial in range(400):
        few, many = rng.normal(0, 0.3, 8), rng.normal(0, 0.1, 30)
        plain += permutation_test(few, many, n_resamples=300, seed=trial) <= 0.05
        studentised += studentised_permutation_test(few, many, n_resamples=300, seed=trial) <= 0.05
    assert plain / 400 > 0.1 and studentised / 400 <= 0.08


def test_p_values_agree_with_scipys_and_have_degenerate_cases() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(0.8, 1, 12), rng.normal(0, 2, 15)
    expected = stats.ttest_ind(first, second, equal_var=False).pvalue
    assert studentised_permutation_test(first, second) == pytest.approx(expected, abs=0.03)
    assert np.isnan(studentised_permutation_test(first, np.array([])))
    assert studentised_permutation_test(np.ones(3), np.ones(4)) == 1.0
    assert 0 < studentised_permutation_test(np.array([5.0]), second) < 0.5


def test_a_resample_is_studentised_by_its_own_error() -> None:
    values, weights = np.array([1.0, 2.0, 6.0]), np.array([[2, 1, 0], [0, 1, 2], [3, 0, 0]])
    found = _t_of_weights(values, weights)
    for t, drawn in zip(found[:2], ([1.0, 1.0, 2.0], [2.0, 6.0, 6.0]), strict=True):
        assert t == pytest.approx((np.mean(drawn) - values.mean()) / (np.std(drawn) / np.sqrt(2)))
    assert found[2] == -np.inf  # one value only: no error, and below the mean


def test_another_value_is_predicted_by_students_interval() -> None:
    values = np.array([0.2, 0.5, 0.3, 0.6])
    found = of_another(values)
    half = stats.t.ppf(0.975, 3) * values.std(ddof=1) * np.sqrt(1.25)
    assert (found.value, found.low, found.high, found.n) == pytest.approx((0.4, 0.4 - half, 0.4 + half, 4))
    assert of_another(np.array([0.2, np.nan, 0.4])).interval_reason == "2 values; another one is predicted from 3"
    assert of_another(np.array([np.nan])).reason == "no values"
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2000, 6))
    inside = [one.low <= last <= one.high for *first, last in draws if (one := of_another(np.array(first)))]  # type: ignore
    assert 0.94 <= np.mean(inside) <= 0.96
