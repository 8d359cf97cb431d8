"""Bootstrap, permutation and multiple-testing corrections against closed forms and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from eval.errors import UserError
from eval.measures.statistics.resampling import (
    _bca_levels,
    benjamini_hochberg,
    bootstrap,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_share,
    bootstrap_two_way,
    draw_weights,
    holm,
    permutation_p,
    permutation_test,
)

p_values = arrays(float, st.integers(1, 12), elements=st.floats(0, 1))


def test_weights_draw_with_replacement():
    weights = draw_weights(7, 50, seed=1)
    assert weights.shape == (50, 7) and (weights.sum(1) == 7).all() and (weights >= 0).all()


def test_bootstrap_mean_agrees_with_scipy_bca():
    values = np.random.default_rng(0).exponential(size=60)
    score = bootstrap_mean(values, n_resamples=20000, seed=1)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=20000, rng=np.random.default_rng(2)).confidence_interval
    assert score.value == pytest.approx(values.mean())
    assert score.interval == pytest.approx([oracle.low, oracle.high], abs=0.015)
    assert score.n == 60


def test_percentile_interval_of_a_mean_is_the_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    score = bootstrap_mean(values, n_resamples=8000, method="percentile")
    assert score.interval[1] - score.interval[0] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_sizes_weight_the_mean_and_nan_documents_are_left_out():
    values, sizes = np.r_[np.arange(30.0), np.nan], np.r_[np.arange(1.0, 31), 5]
    score = bootstrap_mean(values, sizes)
    assert score.value == pytest.approx(np.average(values[:30], weights=sizes[:30])) and score.n == 30


def test_document_interval_is_wider_than_a_token_interval():
    generator = np.random.default_rng(3)
    documents = generator.normal(size=40)
    tokens = documents[:, None] + 0.1 * generator.normal(size=(40, 50))
    by_document, by_token = bootstrap_mean(tokens.mean(1)), bootstrap_mean(tokens.ravel())
    ratio = (by_document.high - by_document.low) / (by_token.high - by_token.low)
    assert ratio == pytest.approx(np.sqrt(50), rel=0.2)


def test_too_few_documents_have_a_value_but_no_interval():
    score = bootstrap_mean(np.arange(5.0))
    assert score.value == 2 and score.interval is None
    assert score.interval_reason == "5 documents; an interval resampled over documents needs at least 20"


def test_undefined_statistics_say_so():
    assert "not finite" in bootstrap_ratio(np.ones(30), np.zeros(30)).reason
    rare = np.zeros(30)
    rare[0] = 1
    assert bootstrap(lambda w: np.where(w[:, 0] == 1, 1.0, np.nan), 30).interval_reason.startswith("the statistic")
    assert bootstrap_mean(np.full(30, 2.0)).interval == [2, 2]


def test_two_way_covers_unit_and_document_spread():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(80, 1)) + 0.5 * generator.normal(size=(1, 50)) + generator.normal(size=(80, 50))
    score = bootstrap_two_way(values)
    expected = 2 * 1.96 * np.sqrt(values.mean(1).var() / 80 + values.mean(0).var() / 50)
    assert score.high - score.low == pytest.approx(expected, rel=0.15)
    values[generator.random(values.shape) < 0.3] = np.nan
    assert bootstrap_two_way(values).value == pytest.approx(np.nanmean(values))
    assert bootstrap_two_way(np.full((3, 3), np.nan)).reason == "no unit has a value on any document"
    assert bootstrap_two_way(values[:5]).interval_reason.startswith("5 units;")


def test_permutation_agrees_with_scipy_and_respects_strata():
    generator = np.random.default_rng(0)
    first, second = generator.normal(0.7, size=12), generator.normal(size=15)
    oracle = stats.permutation_test(
        (first, second), lambda a, b: a.mean() - b.mean(), n_resamples=5000, rng=np.random.default_rng(1)
    )
    assert permutation_test(first, second, n_resamples=5000) == pytest.approx(oracle.pvalue, abs=0.02)
    strata = np.repeat([0, 1], 20)
    values = strata * 10.0
    assert permutation_p(lambda label: label @ values - 200, strata, strata=strata) == 1
    assert permutation_p(lambda label: label @ values - 100, strata) < 0.01


def test_permutation_p_is_uniform_under_the_null():
    generator = np.random.default_rng(0)
    p = [permutation_test(*generator.normal(size=(2, 15)), n_resamples=199, seed=i) for i in range(300)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_permutation_of_nothing_is_nan():
    assert np.isnan(permutation_test(np.array([np.nan]), np.ones(3)))


@given(p_values)
def test_benjamini_hochberg_equals_scipy(p):
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), rtol=1e-12)


@settings(max_examples=50)
@given(p_values)
def test_holm_lies_between_benjamini_hochberg_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted <= np.minimum(p * len(p), 1) + 1e-12).all()
    assert (adjusted >= benjamini_hochberg(p) - 1e-12).all()
    order = np.argsort(p)
    assert (np.diff(adjusted[order]) >= 0).all()
    np.testing.assert_allclose(holm(np.r_[p, np.nan])[:-1], adjusted)


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])


def test_error_texts():
    with pytest.raises(UserError, match=r"expected method 'bca' or 'percentile'; got 'normal'; choose one"):
        bootstrap_mean(np.ones(30), method="normal")
    with pytest.raises(UserError, match=r"expected confidence in \(0, 1\); got 95"):
        bootstrap_mean(np.ones(30), confidence=95.0)
    with pytest.raises(UserError, match=r"expected alternative .* got 'up'"):
        permutation_test(np.ones(3), np.ones(3), alternative="up")
    with pytest.raises(UserError, match=r"expected p-values in \[0, 1\]; got 1.5"):
        holm(np.array([0.1, 1.5]))


@pytest.mark.parametrize("n", [3, 12, 200])
def test_a_share_on_which_all_agree_has_the_exact_binomial_interval(n):
    none, every = bootstrap_share(np.zeros(n)), bootstrap_share(np.ones(n), np.arange(1, n + 1))
    oracle = stats.binomtest(0, n).proportion_ci(method="exact")
    assert none.interval == pytest.approx([0, oracle.high]) and every.interval == pytest.approx([1 - oracle.high, 1])
    assert none.n == n and bootstrap_share(np.zeros(n), confidence=0.5).high < none.high


def test_a_share_on_which_they_differ_is_bootstrapped_and_other_values_are_refused():
    hits = np.repeat([0.0, 1.0], [25, 5])
    assert bootstrap_share(hits) == bootstrap_mean(hits)
    assert bootstrap_share(np.full(30, 0.5)).interval == [0.5, 0.5]  # shares within groups, not 0/1: left alone
    with pytest.raises(UserError, match=r"expected shares in \[0, 1\]; got 0 to 2; use bootstrap_mean"):
        bootstrap_share(np.array([0.0, 2.0]))
    assert not bootstrap_share(np.array([np.nan])).is_defined


def test_documents_without_a_value_do_not_narrow_the_exact_interval():
    found = bootstrap_share(np.array([np.nan, 1.0, 1.0, 1.0, np.nan]))
    assert found.n == 3 and found.interval == pytest.approx([0.025 ** (1 / 3), 1])
    alone = bootstrap_share(np.array([1.0]))
    assert alone.n == 1 and alone.interval == pytest.approx([0.025, 1])
    mixed = bootstrap_share(np.array([np.nan, 0.0, 0.0, 0.0]))
    assert mixed.n == 3 and mixed.interval == pytest.approx([0, 1 - 0.025 ** (1 / 3)])


def test_bca_levels_by_efron_and_their_fallback():
    """Acceleration from the jackknife and bias from the share below; percentile levels where all lies on one side."""
    levels, draws = np.array([0.025, 0.975]), np.arange(10.0)
    jackknife = np.array([0.0, 1.0, 5.0])
    deviation = 2.0 - jackknife
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    bias = stats.norm.ppf(0.35)  # three below 3 and half of the one that is 3
    z = bias + stats.norm.ppf(levels)
    expected = stats.norm.cdf(bias + z / (1 - acceleration * z))
    np.testing.assert_allclose(_bca_levels(levels, 3.0, draws, jackknife), expected)
    for value in (-1.0, 11.0):
        np.testing.assert_array_equal(_bca_levels(levels, value, draws, jackknife), levels)
    np.testing.assert_array_equal(_bca_levels(levels, 3.0, draws, np.ones(3)), levels)


def test_one_group_or_unit_more_than_too_few_has_an_interval():
    assert bootstrap_mean(np.arange(20.0)).interval is not None and bootstrap_mean(np.arange(19.0)).interval is None
    table = np.random.default_rng(0).standard_normal((10, 20))
    assert bootstrap_two_way(table).interval is not None
    assert "9 units" in str(bootstrap_two_way(table[:9]).interval_reason)
    assert "19 documents" in str(bootstrap_two_way(table[:, :19]).interval_reason)


def test_a_statistic_defined_on_half_of_the_resamples_has_an_interval():
    def of(share: float):
        def statistic(weights: np.ndarray) -> np.ndarray:
            values = weights[:, 0].astype(float)
            if len(weights) == 100:
                values[: round(100 * share)] = np.nan
            return values

        return bootstrap(statistic, 20, n_resamples=100, method="percentile")

    assert of(0.5).interval is not None and "more than half" in str(of(0.51).interval_reason)


def test_permutation_counts_equal_statistics_as_extreme():
    """Two labels of each kind and a statistic that depends on them by sign only: every shuffle is as extreme."""
    assert permutation_p(lambda labels: np.ones(len(labels)), np.array([0, 0, 1, 1])) == 1
    rare = permutation_p(lambda labels: (labels[:, 0] == 7).astype(float), np.r_[7, np.zeros(9)], alternative="greater")
    assert rare == pytest.approx(0.1, abs=0.02)
