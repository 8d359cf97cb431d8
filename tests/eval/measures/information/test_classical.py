"""Estimators without training against a count of neighbours by hand and against scipy's densities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import multivariate_normal

from eval.measures.information.classical import canonical_correlations, gaussian, ksg


def ksg_by_hand(x: np.ndarray, y: np.ndarray, neighbours: int) -> list[float]:
    """Every distance computed, every neighbour counted; strictly nearer than the k-th joint neighbour."""
    terms = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        d_x = np.array([np.abs(x[i] - x[j]).max() for j in others])
        d_y = np.array([np.abs(y[i] - y[j]).max() for j in others])
        reach = np.sort(np.maximum(d_x, d_y))[neighbours - 1]
        n_x, n_y = int((d_x < reach).sum()), int((d_y < reach).sum())
        terms.append(digamma(neighbours) + digamma(len(x)) - digamma(n_x + 1) - digamma(n_y + 1))
    return terms


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_ksg_counts_neighbours_as_by_hand(neighbours: int):
    generator = np.random.default_rng(neighbours)
    x = generator.standard_normal((60, 2))
    y = x[:, :1] + 0.5 * generator.standard_normal((60, 1))
    np.testing.assert_allclose(ksg(x, y, neighbours=neighbours), ksg_by_hand(x, y, neighbours), rtol=1e-12)
    np.testing.assert_allclose(ksg(x, y), ksg_by_hand(x, y, 5), rtol=1e-12)


def test_gaussian_is_the_log_ratio_of_scipys_densities():
    generator = np.random.default_rng(0)
    train = generator.standard_normal((500, 5)) @ generator.standard_normal((5, 5)) + 3
    held = generator.standard_normal((20, 5)) + 3

    def log_density(columns: slice) -> np.ndarray:
        fit = train[:, columns]
        return multivariate_normal(fit.mean(0), np.cov(fit.T), allow_singular=False).logpdf(held[:, columns])

    expected = log_density(slice(0, 5)) - log_density(slice(0, 2)) - log_density(slice(2, 5))
    np.testing.assert_allclose(gaussian(train[:, :2], train[:, 2:], held[:, :2], held[:, 2:]), expected, atol=1e-5)


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
