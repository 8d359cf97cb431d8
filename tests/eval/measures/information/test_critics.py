"""Critics and decoders: held-out values by hand, which objective each trains on, errors by the delta method."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from eval.measures.information import critics, estimate
from eval.measures.information.critics import SMILE_CLIP, NetworkOptions, Pointwise, donsker_varadhan, infonce
from eval.measures.information.decoders import bit_log_likelihood, gaussian_log_likelihood, symbol_log_likelihood

ONE_STEP = NetworkOptions(hidden=8, steps=1, learning_rate=1e-12)


def split(n: int = 300, seed: int = 0) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, generator=generator)
    y = torch.cat([x + 0.5 * torch.randn(n, 1, generator=generator), torch.randn(n, 1, generator=generator)], 1)
    cut = 2 * n // 3
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def test_the_error_of_a_mean_is_that_of_the_mean():
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    found = Pointwise.mean_of(values)
    assert (found.value, found.standard_error) == pytest.approx((4.0, np.std([1, 2, 4, 9], ddof=1) / 2))


def test_the_error_of_the_held_out_bound_is_its_derivative_by_the_samples():
    """The delta method: differentiate the bound by a weight of every sample, as a pair and as first of others."""
    generator = torch.Generator().manual_seed(1)
    n, shifts = 30, 8
    x, y = torch.randn(n, 1, generator=generator), torch.randn(n, 1, generator=generator)

    class Product(torch.nn.Module):
        def forward(self, both: torch.Tensor) -> torch.Tensor:
            return both[:, :1] * both[:, 1:]

    found = critics._evaluate(Product(), x, y, clip=None)
    weights = torch.ones(n, dtype=torch.float64, requires_grad=True)
    share = weights / n
    apart = torch.stack([(x * y.roll(shift, 0))[:, 0] for shift in range(1, shifts + 1)]).double()
    bound = (share * (x * y)[:, 0].double()).sum() - (share * apart.exp().mean(0)).sum().log()
    bound.backward()
    assert found.value == pytest.approx(float(bound.detach()), rel=1e-6)
    assert weights.grad is not None
    error = float((n * weights.grad).var() / n) ** 0.5
    assert found.standard_error == pytest.approx(error, rel=1e-6)


def test_mine_has_no_clip_and_smile_has_one():
    train, test = split()
    for name, clip in (("mine", None), ("smile", SMILE_CLIP)):
        found = estimate._raw(name, train, test, None, ONE_STEP, 4)
        assert found == donsker_varadhan(train, test, ONE_STEP, 4, clip=clip)
        other = donsker_varadhan(train, test, NetworkOptions(hidden=8, steps=30), 4, clip=None if clip else SMILE_CLIP)
        assert other != estimate._raw(name, train, test, None, NetworkOptions(hidden=8, steps=30), 4)


def test_infonce_is_its_formula_over_whole_batches(monkeypatch: pytest.MonkeyPatch):
    """Towers as they start: log B plus the mean log share of the true partner, over batches of B; no rest."""
    train, (x, y) = split(360)
    kept = {}

    def untrained(towers, objective, *_):
        kept.update(towers=towers, objective=objective)

    monkeypatch.setattr(critics, "_fit", untrained)
    found = infonce(train, (x, y), ONE_STEP, 0, batch=50)
    with torch.no_grad():
        scores = (kept["towers"][0](x) @ kept["towers"][1](y).T).double()
    terms = [
        float(math.log(50) + scores[i, i] - scores[i, first : first + 50].logsumexp(0))
        for first in (0, 50)
        for i in range(first, first + 50)
    ]
    assert found.value == pytest.approx(np.mean(terms), abs=1e-5)
    assert found.standard_error == pytest.approx(np.std(terms, ddof=1) / 10, rel=1e-3)
    few = infonce(train, (x, y), ONE_STEP, 0, batch=500)  # fewer samples than a batch: one batch of what there is
    assert few.value == pytest.approx(float(math.log(120) + (scores.diag() - scores.logsumexp(1)).mean()), abs=1e-5)


def test_infonce_trains_on_at_most_1024_partners(monkeypatch: pytest.MonkeyPatch):
    kept = {}
    monkeypatch.setattr(critics, "_fit", lambda towers, objective, *_: kept.update(objective=objective))
    train, test = split(4500)
    infonce(train, test, ONE_STEP, 0)
    with torch.no_grad():
        values = [float(kept["objective"](torch.arange(n))) for n in (1023, 1024, 2000)]
    assert values[1] == values[2] != values[0]


def test_an_untrained_gaussian_decoder_is_linear_regression_with_an_intercept():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(3000, 2, generator=generator)
    x = 3 + y @ torch.tensor([[2.0], [-1.0]]) + 0.5 * torch.randn(3000, 1, generator=generator)
    found = gaussian_log_likelihood((x[:2000], y[:2000]), (x[2000:], y[2000:]), ONE_STEP, 0)
    design = np.column_stack([y.numpy(), np.ones(3000)])
    weights = np.linalg.lstsq(design[:2000], x[:2000].numpy(), rcond=None)[0]
    left = x.numpy() - design @ weights
    deviation = left[:2000].std(ddof=1)
    expected = -0.5 * (left[2000:, 0] / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


def test_log_likelihoods_of_symbols_and_bits_add_up():
    """A softmax over two symbols and a decoder of their only bit, both untrained, are probabilities."""
    y = torch.zeros(4, 1)
    sums = []
    for symbol in range(3):
        x = torch.full((4,), symbol)
        sums.append(symbol_log_likelihood((torch.arange(4) % 3, y), (x, y), 3, ONE_STEP, 0).exp())
    np.testing.assert_allclose(sum(sums).numpy(), np.ones(4), rtol=1e-5)
    bits = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    train = (torch.tensor([[0, 1], [1, 0]]), torch.zeros(2, 1))
    found = bit_log_likelihood(train, (bits, y), ONE_STEP, 0).exp()
    assert float(found.sum()) == pytest.approx(1, rel=1e-5)
