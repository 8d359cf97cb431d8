"""Joint Gaussians against scipy's densities and planted variates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from eval.measures.information.classical import canonical_correlations, gaussian


def test_gaussian_is_the_log_ratio_of_scipys_densities():
    generator = np.random.default_rng(0)
    train = generator.standard_normal((500, 5)) @ generator.standard_normal((5, 5)) + 3
    held = generator.standard_normal((20, 5)) + 3

    def log_density(columns: slice) -> np.ndarray:
        fit = train[:, columns]
        return multivariate_normal(fit.mean(0), np.cov(fit.T), allow_singular=False).logpdf(held[:, columns])

    expected = log_density(slice(0, 5)) - log_density(slice(0, 2)) - log_density(slice(2, 5))
    np.testing.assert_allclose(gaussian(train[:, :2], train[:, 2:], held[:, :2], held[:, 2:]), expected, atol=1e-5)


def test_a_copy_is_read_up_to_the_ridge_of_a_billionth_of_the_mean_variance():
    """Three copied columns of unit variance: each has -1/2 log(2e-9) nats, and 1/2 for the
    direction in which the joint density has no spread."""
    values = np.random.default_rng(0).standard_normal((400, 3))
    values = np.linalg.qr(values - values.mean(0))[0] * np.sqrt(399)  # covariance: the identity
    found = gaussian(values, values, values, values)
    assert found.mean() == pytest.approx(-1.5 * np.log(2e-9) + 1.5, abs=0.01)


def test_canonical_correlations_of_planted_variates():
    generator = np.random.default_rng(1)
    shared = generator.standard_normal((4000, 2))
    noise = generator.standard_normal((4000, 3))
    x = np.c_[shared, noise[:, :1]] + [5, 0, 0]
    y = np.c_[shared[:, 0], 0.6 * shared[:, 1] + 0.8 * noise[:, 1], noise[:, 2]] @ generator.standard_normal((3, 3))
    found = canonical_correlations(x, y)
    assert found == pytest.approx([1, 0.6, 0], abs=0.05) and found[0] <= 1
    constant = np.c_[x, np.full(4000, 7.0)]
    np.testing.assert_allclose(canonical_correlations(constant, y), found, atol=1e-9)


def test_directions_without_variance_have_no_variate():
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((200, 2)), generator.standard_normal((200, 4))
    doubled = np.concatenate([x, x @ [[1.0], [2.0]], np.full((200, 1), 3.0)], 1)
    found = canonical_correlations(doubled, y)
    np.testing.assert_allclose(found, canonical_correlations(x, y), atol=1e-9)
    np.testing.assert_allclose(canonical_correlations(1e-3 * doubled + 5, y), found, atol=1e-9)
    assert len(canonical_correlations(np.full((200, 2), 3.0), y)) == 0
