"""Power-law fits against scikit-learn's Huber regression and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import HuberRegressor

from eval.errors import UserError
from eval.measures.spectra.power_law import (
    broken_power_law,
    curvature,
    fit_power_law,
    huber_line,
    power_law_exponent,
    range_sensitivity,
)

INDEX = np.arange(1, 201.0)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, -0.1), st.floats(-5, 5), st.sampled_from([(10, 50), (1, 20), (5, 200)]))
def test_exact_power_law_is_recovered_at_any_scale(exponent, log_scale, index_range):
    fit = fit_power_law(np.exp(log_scale) * INDEX**exponent, index_range)
    assert fit.exponent == pytest.approx(exponent, abs=1e-8)
    assert fit.intercept == pytest.approx(log_scale, abs=1e-7) and fit.r2 == pytest.approx(1)


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
def test_huber_line_equals_scikit_learn(noise):
    generator = np.random.default_rng(int(100 * noise))
    x = np.log(INDEX[9:50])
    y = -x + noise * generator.standard_normal((3, 41))
    y[1, 5] += 10 * noise
    slopes, intercepts = huber_line(x, y)
    for row, slope, intercept in zip(y, slopes, intercepts, strict=True):
        oracle = HuberRegressor(alpha=0, max_iter=10000, tol=1e-10).fit(x[:, None], row)
        assert [slope, intercept] == pytest.approx([oracle.coef_[0], oracle.intercept_], abs=1e-5)


def test_an_outlier_moves_huber_less_than_least_squares():
    spectrum = INDEX**-1.0 * np.exp(0.02 * np.random.default_rng(0).standard_normal(200))
    clean = power_law_exponent(spectrum)
    spectrum[49] *= 5
    robust = abs(power_law_exponent(spectrum) - clean)
    assert robust < 0.2 * abs(np.polyfit(np.log(INDEX[9:50]), np.log(spectrum[9:50]), 1)[0] - clean)


def test_a_kink_is_found_where_it_is():
    spectrum = np.where(INDEX <= 25, INDEX**-0.5, 25**1.0 * INDEX**-1.5)
    found = broken_power_law(spectrum * np.exp(0.005 * np.random.default_rng(0).standard_normal(200)))
    assert abs(found.break_index - 25) <= 1 and found.delta_bic > 50
    assert found.exponents == pytest.approx((-0.5, -1.5), abs=0.03)
    noise = np.random.default_rng(1).standard_normal(200)
    assert broken_power_law(INDEX**-1.0 * np.exp(0.05 * noise)).delta_bic < 10


def test_curvature_sign_and_range_sensitivity():
    assert curvature(INDEX**-1.0) == pytest.approx(0, abs=1e-10)
    assert curvature(np.exp(-INDEX / 20)) < -0.1
    assert set(np.round(list(range_sensitivity(INDEX**-1.0).values()), 8)) == {-1.0}
    assert max(b for _, b in range_sensitivity(np.where(INDEX <= 60, INDEX**-1.0, 0))) == 50


def test_error_texts():
    with pytest.raises(UserError, match=r"expected at least 50 eigenvalues .* got 20; use a wider site"):
        power_law_exponent(INDEX[:20] ** -1.0)
    with pytest.raises(UserError, match=r"expected positive eigenvalues over indices 10..50; got a smallest of 0"):
        power_law_exponent(np.where(INDEX < 30, INDEX, 0))
    with pytest.raises(UserError, match=r"got \(50, 10\); use \(10, 50\)"):
        power_law_exponent(INDEX, (50, 10))
    with pytest.raises(UserError, match=r"expected at least 8 indices"):
        broken_power_law(INDEX, (1, 5))


def test_the_evidence_for_a_kink_is_the_difference_of_the_two_bics():
    """BIC = n log(SSE / n) + k log n with 2 and 4 parameters, the kink found by trying every inner index."""
    index = np.arange(1, 41.0)
    eigenvalues = np.exp(-np.log(index) - 1.2 * np.maximum(np.log(index / 17), 0))
    eigenvalues *= np.exp(0.02 * np.random.default_rng(0).standard_normal(40))
    x, y = np.log(index), np.log(eigenvalues)
    errors = {}
    for kink in range(3, 37):
        design = np.column_stack([np.ones(40), np.minimum(x, x[kink]), np.maximum(x - x[kink], 0)])
        errors[kink] = np.linalg.lstsq(design, y, rcond=None)[1][0]
    best = min(errors, key=lambda kink: errors[kink])
    straight = np.polyfit(x, y, 1, full=True)[1][0]
    bics = [40 * np.log(error / 40) + k * np.log(40) for error, k in ((straight, 2), (errors[best], 4))]
    found = broken_power_law(eigenvalues, (1, 40))
    assert found.break_index == best + 1 and abs(found.break_index - 17) <= 2
    assert found.delta_bic == pytest.approx(bics[0] - bics[1], rel=1e-6)
    assert found.exponents == pytest.approx((-1, -2.2), abs=0.1)


def test_eight_indices_are_enough_for_a_kink():
    eigenvalues = np.arange(1, 20.0) ** -1
    assert broken_power_law(eigenvalues, (3, 10)).exponents == pytest.approx((-1, -1))
    with pytest.raises(UserError, match="at least 8 indices"):
        broken_power_law(eigenvalues, (3, 9))


def test_a_range_needs_three_indices_from_one_on():
    eigenvalues = np.arange(1, 20.0) ** -1
    assert power_law_exponent(eigenvalues, (1, 3)) == pytest.approx(-1)
    assert power_law_exponent(eigenvalues, (5, 19)) == pytest.approx(-1)
    for wrong in ((1, 2), (0, 5)):
        with pytest.raises(UserError, match="index_range"):
            power_law_exponent(eigenvalues, wrong)
    with pytest.raises(UserError, match="at least 20 eigenvalues"):
        power_law_exponent(eigenvalues, (5, 20))


def test_ranges_tried_are_half_to_twice_each_end_where_they_hold_five_positive_eigenvalues():
    eigenvalues = np.concatenate([np.arange(1, 21.0) ** -1, np.zeros(30)])
    found = range_sensitivity(eigenvalues, (6, 10))
    assert set(found) == {(3, 10), (3, 20), (6, 10), (6, 20), (12, 20)}
    np.testing.assert_allclose(list(found.values()), -1)
    assert min(first for first, _ in range_sensitivity(eigenvalues, (1, 10))) == 1
