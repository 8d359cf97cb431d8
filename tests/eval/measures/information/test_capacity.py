"""Closed forms against an independent oracle (Blahut-Arimoto, enumeration, Monte Carlo) and known values."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import UserError
from eval.measures.information import capacity


@pytest.mark.parametrize("n_levels", [2, 3, 4, 8, 16, 64])
@pytest.mark.parametrize("dropout", [0.0, 0.05, 0.2, 0.5, 0.8, 0.95])
def test_dropout_capacity_equals_blahut_arimoto(n_levels: int, dropout: float) -> None:
    oracle = capacity.blahut_arimoto(capacity.dropout_channel(n_levels, dropout))
    assert oracle.converged
    assert capacity.dropout_capacity(n_levels, dropout) == pytest.approx(oracle.capacity, abs=1e-5)


def test_dropout_capacity_at_the_reference_values() -> None:
    values = [capacity.dropout_capacity(m, 0.2) for m in (2, 4, 256)]
    assert values == pytest.approx([0.618, 1.381, 6.395], abs=5e-4)


@given(st.integers(2, 500), st.floats(0, 1))
def test_dropout_capacity_lies_between_its_bounds(n_levels: int, dropout: float) -> None:
    low, high = capacity.dropout_capacity_bounds(n_levels, dropout)
    assert low - 1e-9 <= capacity.dropout_capacity(n_levels, dropout) <= high + 1e-9


def test_dropout_capacity_is_continuous_where_zero_stops_being_sent() -> None:
    dropout = 0.5  # M - 1 = D^(-1/(1-D)) = 4 exactly, so M = 5 is the switch
    below = math.log2(1 + 4 * 0.5 * 0.5)
    assert capacity.dropout_capacity(5, dropout) == pytest.approx(below)


def test_blahut_arimoto_on_channels_with_known_capacity() -> None:
    flip = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert capacity.blahut_arimoto(flip).capacity == pytest.approx(1 - capacity.binary_entropy(0.1), abs=1e-6)
    z_channel = np.array([[1, 0], [0.5, 0.5]])
    assert capacity.blahut_arimoto(z_channel).capacity == pytest.approx(math.log2(1.25), abs=1e-6)
    with pytest.raises(UserError, match="rows that sum to 1"):
        capacity.blahut_arimoto(np.ones((2, 2)))


def test_sparse_entropy_equals_enumeration() -> None:
    sparsity, n = 0.7, 3
    letters = [sparsity] + [(1 - sparsity) / 4] * 4  # an active feature takes 4 equal values: H = 2 bits
    joint = [math.prod(p) for p in product(letters, repeat=n)]
    assert capacity.sparse_entropy(n, sparsity, 2.0) == pytest.approx(-sum(p * math.log2(p) for p in joint))


def test_compression_rate_at_the_reference_values() -> None:
    assert [capacity.compression_rate(0.9, h) for h in (8, 16, 32)] == pytest.approx([0.159, 0.129, 0.115], abs=5e-4)
    assert capacity.compression_rate(0, 8) == 1
    assert capacity.compression_rate(1, 8) == 0


def test_informative_sparsity_is_where_the_bound_meets_the_floor() -> None:
    sparsity = capacity.informative_sparsity(120, 12, 16)
    assert capacity.compression_rate(sparsity, 16) == pytest.approx(0.1)
    assert capacity.compression_rate(sparsity + 0.01, 16) < 0.1
    assert capacity.informative_sparsity(10, 20, 16) == 0


def test_power_law_loss_is_the_exact_sum_and_halves_for_eigenvalues() -> None:
    exact = sum(math.log2(i) for i in range(1, 101))
    assert capacity.power_law_loss(100, -1.0) == pytest.approx(exact)
    assert capacity.power_law_loss(100, -1.0, "eigenvalues") == pytest.approx(exact / 2)
    printed = capacity.power_law_loss_printed(100, -1.0)
    assert 0 < exact - printed == pytest.approx(math.log2(math.sqrt(2 * math.pi * 100)), abs=0.01)
    with pytest.raises(UserError, match="expected a convention"):
        capacity.power_law_loss(10, -1.0, "variances")


def test_reverse_water_filling_against_brute_force() -> None:
    variances = np.array([4.0, 1.0, 0.25])
    grid = np.linspace(1e-4, 0.9999, 60)
    best = math.inf
    for a, b in product(grid, grid):  # shares of the distortion 1.2 given to the first two directions
        parts = np.array([a, b * (1 - a), (1 - a) * (1 - b)]) * 1.2
        if (parts <= variances).all():
            best = min(best, float((0.5 * np.log2(variances / parts)).sum()))
    exact = capacity.reverse_water_filling(variances, 1.2)
    assert exact <= best + 1e-9
    assert exact == pytest.approx(best, abs=0.01)
    assert capacity.reverse_water_filling(variances, 5.25) == 0


def test_reencoding_failure_against_monte_carlo() -> None:
    generator = np.random.default_rng(0)
    erased = (generator.random((40_000, 5, 20)) < 0.2).sum(-1)
    failed = (erased > 20 - 14).any(-1).mean()
    expected = capacity.reencoding_failure(20, 14, 0.2, n_layers=5)
    assert failed == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 40_000))
    assert capacity.reencoding_failure(4, 4, 1.0) == 1


def test_finite_width_capacity_tends_to_the_asymptote_from_below() -> None:
    shares = [capacity.finite_width_capacity(m, 0.2, 0.01) / m for m in (10, 100, 10_000)]
    assert shares == sorted(shares)
    assert 0.78 < shares[-1] < 0.8


def test_cascades() -> None:
    assert capacity.cascade_capacity(8, 0.2, 3, corrected=False) == pytest.approx(8 * 0.8**3)
    assert capacity.cascade_capacity(8, 0.2, 30, corrected=True) == pytest.approx(8 * 0.8)
    assert capacity.cascade_dropout(0.2, 2) == pytest.approx(0.36)
    # two layers of dropout are one layer of D_2: the composed channel is the channel of the composed dropout
    once = capacity.dropout_channel(4, 0.2)
    assert np.allclose(once @ once, capacity.dropout_channel(4, capacity.cascade_dropout(0.2, 2)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: capacity.compression_rate(1.2, 8), r"expected S in \[0, 1\]; got 1.2"),
        (lambda: capacity.compression_rate(0.5, 0), "expected H > 0 bits; got 0"),
        (lambda: capacity.dropout_capacity(2, -0.1), r"expected D in \[0, 1\]; got -0.1"),
        (lambda: capacity.dropout_capacity(0, 0.1), "expected M a whole number >= 1; got 0"),
        (lambda: capacity.sparse_entropy(0, 0.5, 8), "expected n a whole number >= 1; got 0"),
        (lambda: capacity.reencoding_failure(4, 5, 0.1), "expected k <= m message symbols; got k=5, m=4"),
        (lambda: capacity.finite_width_capacity(4, 0.1, 0), r"expected a failure rate in \(0, 1\); got 0"),
        (lambda: capacity.cascade_capacity(-1, 0.1, 2, corrected=True), "expected C >= 0 bits; got -1"),
    ],
)
def test_values_outside_their_range_are_one_line(call, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_erased_letter_becomes_silence_which_is_letter_zero() -> None:
    np.testing.assert_allclose(capacity.dropout_channel(3, 0.25), [[1, 0, 0], [0.25, 0.75, 0], [0.25, 0, 0.75]])


def test_an_iteration_that_is_cut_says_so_between_its_bounds() -> None:
    channel = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    cut, whole = (capacity.blahut_arimoto(channel, max_iterations=most) for most in (2, 10_000))
    assert (cut.converged, cut.iterations) == (False, 2) and whole.converged
    assert cut.capacity == pytest.approx((cut.low + cut.high) / 2) and cut.low < whole.capacity < cut.high


def test_bounds_by_hand() -> None:
    assert capacity.dropout_capacity_bounds(5, 0.25) == pytest.approx((0.75 * 2, 0.75 * math.log2(5)))
    assert capacity.dropout_capacity_bounds(2, 0.5) == pytest.approx((0, 0.5))
