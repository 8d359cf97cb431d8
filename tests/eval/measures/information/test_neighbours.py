"""Nearest neighbours: counts by hand, symbols against real values, ties, and scores that leave the order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from eval.measures.information.neighbours import mixed_information_terms, normal_scores, symbol_information_terms


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
def test_untied_samples_count_neighbours_as_by_hand(neighbours: int):
    generator = np.random.default_rng(neighbours)
    x = generator.standard_normal((60, 2))
    y = x[:, :1] + 0.5 * generator.standard_normal((60, 1))
    np.testing.assert_allclose(
        mixed_information_terms(x, y, neighbours=neighbours), ksg_by_hand(x, y, neighbours), rtol=1e-12
    )
    np.testing.assert_allclose(mixed_information_terms(x, y), ksg_by_hand(x, y, 5), rtol=1e-12)


def test_repeated_values_count_everyone_within_the_tied_distance():
    x = np.array([0, 0, 0, 1, 1, 1, 1, 1], float)[:, None]
    found = mixed_information_terms(x, x, neighbours=1)
    expected = [digamma(3) + digamma(8) - 2 * digamma(3)] * 3 + [digamma(5) + digamma(8) - 2 * digamma(5)] * 5
    np.testing.assert_allclose(found, expected)


def test_symbols_ask_among_their_own():
    symbols, y = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 10, 11, 5.0])[:, None]
    found = symbol_information_terms(symbols, y, neighbours=3)
    pair = digamma(1) + digamma(5) - digamma(2) - digamma(1)  # k falls to 1 in a pair, and nobody else is as near
    np.testing.assert_allclose(found, [pair, pair, pair, pair, 0.0])  # a symbol seen once tells nothing


def test_erased_bits_as_symbols_and_as_mixed_values():
    generator = np.random.default_rng(0)
    bits = generator.integers(2, size=(6000, 4))
    code = (2.0 * bits - 1) * (generator.random((6000, 4)) >= 0.25)
    by_symbol = symbol_information_terms(bits @ (1 << np.arange(4)), code).mean() / math.log(2)
    mixed = mixed_information_terms(2.0 * bits - 1, code).mean() / math.log(2)
    assert by_symbol == pytest.approx(3, abs=0.05) and mixed == pytest.approx(3, abs=0.05)


def test_normal_scores_keep_order_and_ties_and_forget_the_scale():
    values = np.array([[3.0, 1.0, 1.0, 1e9, -5.0]]).T
    scores = normal_scores(values)
    assert list(np.argsort(scores[:, 0], kind="stable")) == [4, 1, 2, 0, 3] and scores[1] == scores[2]
    np.testing.assert_array_equal(normal_scores(np.exp(values / 1e9)), scores)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-4, 4)), min_size=7, max_size=14), st.integers(1, 3))
def test_symbols_with_ties_count_as_by_hand(pairs: list[tuple[int, int]], neighbours: int):
    """Ross's terms by counting: K and M count all within a tied distance, those strictly nearer otherwise."""
    symbols, y = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    expected = []
    for symbol, place in pairs:
        own = np.abs(y[symbols == symbol] - place)  # with the sample itself, at 0
        k = min(neighbours, len(own) - 1)
        if k == 0:
            expected.append(0.0)
            continue
        reach = np.sort(own)[k]
        tied = (own <= reach).sum() > k + 1
        together = (own <= reach).sum() if tied else k
        every = (np.abs(y - place) <= reach).sum() if tied or reach == 0 else (np.abs(y - place) < reach).sum()
        expected.append(digamma(together) + digamma(len(y)) - digamma(len(own)) - digamma(every))
    found = symbol_information_terms(symbols, y[:, None].astype(float), neighbours=neighbours)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=7, max_size=14), st.integers(1, 3))
def test_repeated_pairs_count_as_by_hand(pairs: list[tuple[int, int]], neighbours: int):
    """Gao's terms by counting, where most distances are shared; nothing is nearer than a twin at distance 0."""
    x, y = np.array(pairs).T
    expected = []
    for a, b in pairs:
        d_x, d_y = np.abs(x - a), np.abs(y - b)
        joint = np.maximum(d_x, d_y)
        reach = np.sort(joint)[neighbours]
        tied = (joint <= reach).sum() > neighbours + 1
        n_x, n_y = ((d <= reach).sum() if tied or reach == 0 else (d < reach).sum() for d in (d_x, d_y))
        together = (joint <= reach).sum() if tied else neighbours
        expected.append(digamma(together) + digamma(len(x)) - digamma(n_x) - digamma(n_y))
    found = mixed_information_terms(x[:, None].astype(float), y[:, None].astype(float), neighbours=neighbours)
    np.testing.assert_allclose(found, expected, atol=1e-12)
