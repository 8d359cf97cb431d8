"""What becomes an atom, how many Gaussians a group gets, densities and information in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from eval.measures.information.near_distribution import (
    NearDistribution,
    Piece,
    _gaussian_log_density,
    _is_atom,
    fit_near,
)


def test_a_value_is_an_atom_from_five_repeats_or_half_a_percent_on():
    generator = np.random.default_rng(0)
    table = generator.standard_normal((100, 2))
    table[:5, 0], table[:4, 1] = 7.0, 7.0
    found = _is_atom(table)
    assert found[:5, 0].all() and found.sum() == 5
    many = generator.standard_normal((2000, 2))
    many[:10, 0], many[:9, 1] = 7.0, 7.0
    assert _is_atom(many)[:10, 0].all() and _is_atom(many).sum() == 10


@pytest.mark.parametrize(("n", "pieces"), [(78, 1), (80, 2), (158, 2), (160, 4)])
def test_a_mixture_needs_twenty_samples_a_component_and_column(n: int, pieces: int):
    """Two columns in four far corners, as many as the samples allow: 20 a component and column."""
    generator = np.random.default_rng(0)
    corners = np.array([[0, 0], [1000, 0], [0, 1000], [1000, 1000]], float)
    table = corners[np.arange(n) % 4] + generator.standard_normal((n, 2))
    near = fit_near(table[:, :1], table[:, 1:])
    assert near is not None and len(near.pieces) == pieces
    assert sum(piece.weight for piece in near.pieces) == pytest.approx(1)


def test_a_small_group_gets_the_covariance_of_all_groups_that_leave_its_columns_free():
    """x: two symbols, a rare and a frequent one; y is free in both. 15 samples are too few for a fit of their own."""
    generator = np.random.default_rng(0)
    x = np.repeat([0.0, 1.0], [15, 19])[:, None]
    y = np.concatenate([generator.normal(0, 1, 15), generator.normal(50, 3, 19)])[:, None]
    near = fit_near(x, y, symbols=True)
    assert near is not None and len(near.pieces) == 2
    scatter = sum(((part - part.mean()) ** 2).sum() for part in (y[:15], y[15:]))
    for piece, weight, part in zip(near.pieces, (15 / 34, 19 / 34), (y[:15], y[15:]), strict=True):
        assert piece.weight == pytest.approx(weight) and piece.mean == pytest.approx(part.mean(0))
        assert piece.covariance[0, 0] == pytest.approx(scatter / (34 - 2) + 1e-6)


def known() -> NearDistribution:
    """Two pieces: x in {0, 1} with y Gaussian about each."""
    return NearDistribution(
        (
            Piece(0.25, np.array([0.0, np.nan]), np.array([-2.0]), np.array([[1.0]])),
            Piece(0.75, np.array([1.0, np.nan]), np.array([2.0]), np.array([[4.0]])),
        ),
        1,
    )


def test_draws_follow_their_pieces():
    x, y = known().draw(8000, np.random.default_rng(0))
    assert x.mean() == pytest.approx(0.75, abs=0.02) and set(np.unique(x)) == {0.0, 1.0}
    assert y[x == 0].mean() == pytest.approx(-2, abs=0.1) and y[x == 1].std() == pytest.approx(2, abs=0.1)
    order = np.flatnonzero(x[:, 0] == 0)
    assert len(order) and order.mean() == pytest.approx(4000, abs=300)  # shuffled, not piece after piece


def test_information_of_symbols_and_of_gaussians_in_closed_form():
    grid = np.linspace(-20, 25, 60_001)
    densities = [
        weight * multivariate_normal(mean, variance).pdf(grid)
        for weight, mean, variance in ((0.25, -2, 1), (0.75, 2, 4))
    ]
    both = np.sum(densities, 0)
    step = grid[1] - grid[0]
    truth = sum(
        float(np.sum(density * np.log(np.maximum(density, 1e-300) / weight / np.maximum(both, 1e-300))) * step)
        for weight, density in zip((0.25, 0.75), densities, strict=True)
    )
    assert known().information(np.random.default_rng(0)) == pytest.approx(truth, abs=0.015)
    one = Piece(1.0, np.full(2, np.nan), np.array([3.0, -1.0]), np.array([[2.0, 1.2], [1.2, 1.0]]))
    found = NearDistribution((one,), 1).information(np.random.default_rng(0), 50_000)
    assert found == pytest.approx(-0.5 * math.log(1 - 1.44 / 2), abs=0.015)


def test_the_density_of_free_columns_is_scipys():
    covariance = np.array([[2.0, 0.6], [0.6, 1.0]])
    piece = Piece(1.0, np.array([np.nan, 3.0, np.nan]), np.array([0.5, -1.0]), covariance)
    values = np.random.default_rng(0).standard_normal((7, 2))
    found = _gaussian_log_density(values, piece, np.array([0, 2]))
    np.testing.assert_allclose(found, multivariate_normal([0.5, -1.0], covariance).logpdf(values))
    one = _gaussian_log_density(values[:, 1:], piece, np.array([2]))
    np.testing.assert_allclose(one, multivariate_normal([-1.0], [[1.0]]).logpdf(values[:, 1:]).ravel())
