"""Quality of a reconstruction, accumulated over batches, against the same numbers from all tokens at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.measures.dictionaries.dictionary_quality import DictionaryQuality


def data(n: int = 200, width: int = 6, n_features: int = 5, documents: int = 25):
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(n, width, generator=generator) + 2
    reconstruction = target + 0.5 * torch.randn(n, width, generator=generator)
    document = torch.arange(n) // (n // documents)
    features = torch.randn(n, n_features, generator=generator).relu()
    features[document < 3] = 0  # whole documents on which nothing fires
    features[:, 4] = 0
    return target, reconstruction, features, document


@pytest.mark.parametrize("batch", [7, 200])
def test_every_number_is_that_of_all_tokens_together(batch: int):
    target, reconstruction, features, document = data()
    center = torch.full((6,), 1.5)
    quality = DictionaryQuality(30, 5, center)  # five documents without a token
    for first in range(0, 200, batch):
        part = slice(first, first + batch)
        quality.update(target[part], reconstruction[part], features[part], document[part])
    x, y = target.double().numpy(), reconstruction.double().numpy()
    error, spread = ((y - x) ** 2).sum(1), ((x - 1.5) ** 2).sum(1)
    cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    found = quality.results()
    expected = {
        "l0": (features > 0).sum(1).double().mean(),
        "fvu": error.sum() / spread.sum(),
        "fvu_per_token": (error / spread).mean(),
        "cosine": cosine.mean(),
        "dead_share": 1 / 5,
    }
    assert {name: score.value for name, score in found.items()} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-5
    )
    norm, made = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    sizes = {
        "squared_error": error.mean(),
        "l1": features.double().sum(1).mean(),
        "norm": norm.mean(),
        "norm_made": made.mean(),
        "norm_ratio": (made / norm).mean(),
        "reconstruction_bias": (made**2).sum() / (x * y).sum(),
    }
    assert {name: score.value for name, score in quality.sizes().items()} == pytest.approx(
        {name: float(value) for name, value in sizes.items()}, rel=1e-5
    )
    assert all(found[name].n == 25 and found[name].interval is not None for name in ("l0", "fvu", "cosine"))
    assert found["dead_share"].n == 200 and "200 tokens" in str(found["dead_share"].interval_reason)


def test_density_counts_each_feature_once_and_the_silent_ones_first():
    quality = DictionaryQuality(1, 4, torch.zeros(2))
    features = torch.zeros(1000, 4)
    features[:500, 1], features[:20, 2], features[:, 3] = 1, 1, 1
    quality.update(torch.ones(1000, 2), torch.ones(1000, 2), features, torch.zeros(1000, dtype=torch.long))
    found = quality.density_histogram()
    assert (found[0].low, found[0].high, found[0].features) == (0, 0, 1)
    for share in (0.5, 0.02, 1.0):
        inside = [one for one in found[1:] if one.low < share <= one.high + 1e-12 and one.features]
        assert len(inside) == 1
    assert sum(one.features for one in found) == 4
    assert found[1].low == 0 and found[1].high == pytest.approx(1e-6) and found[-1].high == pytest.approx(1)
    assert [one.high / one.low for one in found[2:]] == pytest.approx([10**0.5] * (len(found) - 2))


def test_a_token_near_the_centre_counts_by_its_own_spread():
    quality = DictionaryQuality(1, 1, torch.zeros(2))
    target, reconstruction = torch.tensor([[0.1, 0.0], [2.0, 0.0]]), torch.tensor([[0.1, 0.1], [1.0, 0.0]])
    quality.update(target, reconstruction, torch.ones(2, 1), torch.zeros(2, dtype=torch.long))
    assert quality.results()["fvu_per_token"].value == pytest.approx((1 + 0.25) / 2)
