"""The four self-tests of every estimator: known value, zero under shuffling, at most H(X), data-processing order."""

import math

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.information import ESTIMATORS, estimate_information
from eval.measures.information.classical import canonical_correlations, gaussian
from eval.measures.information.critics import NetworkOptions, _evaluate
from eval.measures.information.estimate import _as_float, _standardised
from eval.measures.information.neighbours import mixed_information_terms

TRUE_NATS = 2.0
DIMENSIONS = 3
GAUSSIAN_ENTROPY = DIMENSIONS / 2 * math.log(2 * math.pi * math.e)
QUICK = NetworkOptions(hidden=48, steps=600, batch=256)
THOROUGH = NetworkOptions(hidden=48, steps=1200, batch=256)


def correlated(n: int = 8000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three independent pairs of Gaussians with 2 nats together."""
    correlation = math.sqrt(1 - math.exp(-2 * TRUE_NATS / DIMENSIONS))
    x, noise = np.random.default_rng(seed).standard_normal((2, n, DIMENSIONS))
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def nats(x: np.ndarray, y: np.ndarray, estimator: str, **more) -> float:
    more = {"options": QUICK, "entropy": GAUSSIAN_ENTROPY, **more}
    value = estimate_information(x, y, estimator=estimator, units="nats", **more).score.value
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("estimator", "tolerance"),
    [("decoder", 0.1), ("mine", 0.1), ("gaussian", 0.05), ("ksg", 0.1), ("smile", 0.2), ("infonce", 0.2)],
)
def test_correlated_gaussians_have_two_nats(estimator: str, tolerance: float) -> None:
    assert nats(*correlated(16_000), estimator, options=THOROUGH) == pytest.approx(TRUE_NATS, abs=tolerance)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_shuffled_pairs_have_no_information(estimator: str) -> None:
    x, y = correlated()
    assert nats(x, np.random.default_rng(5).permutation(y), estimator) < 0.02


@pytest.mark.parametrize("estimator", ["decoder", "mine"])
def test_scale_does_not_matter(estimator: str) -> None:
    x, y = correlated(4000)
    quick = NetworkOptions(hidden=32, steps=300)
    values = [nats(x, y * scale + 7 * scale, estimator, options=quick) for scale in (1, 0.1, 0.001)]
    assert max(values) - min(values) < 0.05


def test_without_standardisation_scale_does_matter() -> None:
    x, y = correlated(4000)
    quick = NetworkOptions(hidden=32, steps=300)
    tiny = nats(x, y * 1e-3, "mine", options=quick, standardise=False)
    assert tiny < nats(x, y, "mine", options=quick) - 0.3


def erased_bits(share: float, n: int = 6000, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """k bits as -1/1, each erased to zero: k (1 - share) bits of information."""
    generator = np.random.default_rng(seed)
    bits = generator.integers(2, size=(n, k))
    return bits, (2 * bits - 1) * (generator.random((n, k)) >= share)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_decoder_bound_of_erased_bits_is_their_capacity(share: float) -> None:
    bits, code = erased_bits(share)
    estimate = estimate_information(bits, code, entropy=4, options=QUICK)
    assert estimate.score.value == pytest.approx(4 * (1 - share), abs=0.1)
    assert estimate.score.value is not None and estimate.score.value <= 4
    assert estimate.score.low is not None and estimate.score.high is not None


@pytest.mark.parametrize("estimator", [name for name in ESTIMATORS if name != "gaussian"])
def test_no_estimator_exceeds_the_entropy(estimator: str) -> None:
    bits, code = erased_bits(0.0, n=2000, k=2)
    jitter = np.random.default_rng(1).normal(0, 1e-3, code.shape)
    quick = NetworkOptions(hidden=32, steps=300)
    estimate = estimate_information(bits, code + jitter, estimator=estimator, entropy=2, options=quick)
    assert estimate.score.value is not None and estimate.score.value <= 2
    assert estimate.score.high is not None and estimate.score.high <= 2


def test_symbols_and_bits_agree() -> None:
    bits, code = erased_bits(0.3, k=3)
    symbols = bits @ (1 << np.arange(3))
    by_symbol = estimate_information(symbols, code, entropy=3, options=QUICK).score.value
    assert by_symbol == pytest.approx(3 * 0.7, abs=0.1)


def test_information_falls_along_a_chain() -> None:
    bits, code = erased_bits(0.1)
    generator = np.random.default_rng(9)
    values = []
    for _ in range(3):
        values.append(estimate_information(bits, code, entropy=4, options=QUICK).score.value)
        code = code * (generator.random(code.shape) >= 0.3)
    assert values == sorted(values, reverse=True)


def test_a_constant_code_tells_nothing() -> None:
    bits, _ = erased_bits(0.0, n=500)
    estimate = estimate_information(bits, np.ones((500, 2)), entropy=4, options=NetworkOptions(steps=100))
    assert estimate.score.value == pytest.approx(0, abs=0.05)


def test_the_same_seed_gives_the_same_number() -> None:
    bits, code = erased_bits(0.3, n=500)
    quick = NetworkOptions(steps=50)
    first, second = (estimate_information(bits, code, entropy=4, options=quick, seed=3) for _ in range(2))
    assert first == second


def test_canonical_correlations_and_classical_values_on_a_planted_pair() -> None:
    x, y = correlated(20_000)
    expected = math.sqrt(1 - math.exp(-2 * TRUE_NATS / DIMENSIONS))
    assert canonical_correlations(x, y @ np.array([[1, 2, 0], [0, 1, 0], [0, 0, 5]])) == pytest.approx(
        np.full(3, expected), abs=0.01
    )
    assert gaussian(x[:9000], y[:9000], x, y).mean() == pytest.approx(TRUE_NATS, abs=0.03)
    independent = np.random.default_rng(0).standard_normal((3000, 1))
    assert mixed_information_terms(x[:3000], independent).mean() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("x", "y", "more", "words"),
    [
        (np.zeros(60, int), np.zeros(59), {"entropy": 1}, "expected one y per x; got 60 x and 59 y"),
        (np.zeros(10, int), np.zeros(10), {"entropy": 1}, "expected at least 50 samples; got 10"),
        (np.zeros(60, int), np.full(60, np.nan), {"entropy": 1}, "expected finite samples"),
        (
            np.zeros(60, int),
            np.zeros(60),
            {"estimator": "decoder"},
            r"expected the entropy H\(X\) for the decoder bound; got none",
        ),
        (np.zeros(60, int), np.zeros(60), {"estimator": "mines"}, "unknown estimator 'mines': did you mean mine"),
        (np.zeros(60, int), np.zeros(60), {"units": "bit", "entropy": 1}, "unknown unit 'bit': did you mean bits"),
    ],
)
def test_bad_input_is_one_line(x, y, more: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        estimate_information(x, y, **more)


def test_the_held_out_value_of_few_samples_uses_every_other_pairing():
    """Four samples have three shifts, which together are all pairs of two samples."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 1, generator=generator), torch.randn(4, 1, generator=generator)

    class Product(torch.nn.Module):
        def forward(self, pairs: torch.Tensor) -> torch.Tensor:
            return pairs[:, :1] * pairs[:, 1:]

    found = _evaluate(Product(), x, y, clip=None)
    table = (x @ y.T).double()
    apart = table[~torch.eye(4, dtype=torch.bool)]
    assert found.value == pytest.approx(float(table.diag().mean() - apart.exp().mean().log()), rel=1e-6)
    clipped = _evaluate(Product(), x, y, clip=0.1)
    assert clipped.value == pytest.approx(float(table.diag().mean() - apart.clamp(-0.1, 0.1).exp().mean().log()))


def test_standardised_columns_and_by_how_much_their_entropy_falls():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200, 3, generator=generator).double() * torch.tensor([0.5, 3.0, 1.0]) + 70
    values[:, 2] = 4.0
    train = torch.arange(120)
    found, shift = _standardised(values, train)
    np.testing.assert_allclose(found[train].mean(0), np.zeros(3), atol=1e-12)
    np.testing.assert_allclose(found[train].std(0), [1, 1, 0], atol=1e-12)
    assert shift == pytest.approx(float(values[train, :2].std(0).log().sum()))
    tiny, _ = _standardised(1e-14 * (values - 70), train)
    np.testing.assert_allclose(tiny[:, :2], found[:, :2], atol=1e-9)
    again, more = _standardised(10 * values + 5, train)
    np.testing.assert_allclose(again, found, atol=1e-9)
    assert more == pytest.approx(shift + 2 * math.log(10))


def test_messages_as_real_numbers():
    assert _as_float(torch.tensor([[0, 1], [1, 1]])).tolist() == [[-1, 1], [1, 1]]
    assert _as_float(torch.tensor([3, 0])).tolist() == [[3], [0]]
    assert _as_float(torch.tensor([[0.5]])).tolist() == [[0.5]]


@pytest.mark.parametrize("holdout", [0.3, 0.5])
def test_the_held_out_share_is_what_bounds_are_taken_on(holdout: float):
    x, y = correlated(300)
    quick = NetworkOptions(hidden=8, steps=2)
    found = estimate_information(x, y, estimator="infonce", options=quick, holdout=holdout)
    assert found.score.n == 300 * holdout
    assert estimate_information(x[:60], y[:60], estimator="infonce", options=quick, holdout=0.01).score.n == 10
    assert estimate_information(x[:60], y[:60], holdout=holdout).score.n == 60


def test_fifty_samples_are_enough():
    x, y = correlated(50)
    assert estimate_information(x, y, estimator="gaussian").score.n == 15
