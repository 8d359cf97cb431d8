"""Estimates without networks against their formulas, recomputed by other means, and their units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import multivariate_normal

from eval.measures.information import estimate_information
from eval.measures.information.critics import NetworkOptions
from eval.measures.information.untrained import _gaussian_fits, _symbols, gaussian_estimate


def pairs(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two columns of x and three of y, related, far from zero."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, 2))
    y = x @ generator.standard_normal((2, 3)) + generator.standard_normal((n, 3))
    return x + 5, y - 40


@pytest.mark.parametrize("units", ["bits", "nats"])
def test_the_gaussian_estimate_is_its_formula(units: str):
    (x, y), train, test = pairs(), np.arange(250), np.arange(250, 400)
    found = gaussian_estimate(x, y, units, train=train, test=test)
    unit = {"bits": math.log(2), "nats": 1.0}[units]

    def log_density(table: np.ndarray) -> np.ndarray:
        fitted = multivariate_normal(table[train].mean(0), np.cov(table[train].T))
        return np.asarray(fitted.logpdf(table[test]))

    terms = log_density(np.concatenate([x, y], 1)) - log_density(x) - log_density(y)
    value, error, bias = terms.mean(), terms.std(ddof=1) / math.sqrt(150), -2 * 3 / (2 * 250)
    assert found.raw == pytest.approx(value / unit, rel=1e-6)
    assert found.standard_error == pytest.approx(error / unit, rel=1e-6)
    assert found.bias == pytest.approx(bias / unit)
    ends = (value - bias, value - bias - 1.96 * error, value - bias + 1.96 * error)
    assert (found.score.value, found.score.low, found.score.high) == pytest.approx(
        tuple(end / unit for end in ends), rel=1e-6
    )
    assert found.score.n == 150


def test_whether_a_gaussian_fits_does_not_depend_on_where_it_lies():
    (x, y), train, test = pairs(), np.arange(250), np.arange(250, 400)
    table = np.concatenate([x, y], 1)
    centred = table - table[train].mean(0)
    weight = np.linalg.inv(np.cov(table[train].T))
    distances = np.array([row @ weight @ row for row in centred[test]])
    expected = stats.kstest(distances, stats.chi2(5).cdf).pvalue
    assert _gaussian_fits(table, train, test) == pytest.approx(expected, rel=1e-6)
    with_constant = np.concatenate([table, np.full((400, 1), 7.0)], 1)
    assert _gaussian_fits(with_constant, train, test) == pytest.approx(expected, rel=1e-6)
    assert _gaussian_fits(np.ones((400, 2)), train, test) == 1.0


def test_symbols_number_the_rows():
    message = np.array([[0, 1], [1, 1], [0, 1], [0, 0]])
    numbers = _symbols(message)[:, 0]
    assert numbers[0] == numbers[2] and len(set(numbers)) == 3
    assert len(set(_symbols(np.array([4, 9, 4]))[:, 0])) == 2


@pytest.mark.parametrize("estimator", ["ksg", "gaussian", "decoder", "infonce"])
def test_bits_are_nats_over_the_logarithm_of_two(estimator: str):
    x, y = pairs(200)
    quick = NetworkOptions(hidden=8, steps=3)
    entropy = {"bits": 9 / math.log(2), "nats": 9.0}
    bits, nats = (
        estimate_information(x, y, estimator=estimator, units=units, entropy=entropy[units], options=quick)
        for units in ("bits", "nats")
    )
    for name in ("raw", "standard_error"):
        assert getattr(bits, name) == pytest.approx(getattr(nats, name) / math.log(2), rel=1e-9)
    for name in ("value", "low", "high"):
        a, b = getattr(bits.score, name), getattr(nats.score, name)
        assert (a is None) == (b is None) and (a is None or a == pytest.approx(b / math.log(2), rel=1e-9))
    assert (bits.bias is None) == (estimator not in ("ksg", "gaussian"))
    if bits.bias is not None and nats.bias is not None:
        assert bits.bias == pytest.approx(nats.bias / math.log(2), rel=1e-9)
