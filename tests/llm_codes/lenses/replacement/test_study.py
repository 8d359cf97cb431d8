"""The replacement model: exact with its errors, the model itself under copies, and what NumPy says of the maps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes import load_corpus, load_model
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.lenses.replacement.outputs import LINEAR, MEANS, SHUFFLED, TRANSCODERS, LinearFit, shuffled
from llm_codes.lenses.replacement.rows import ALL_LAYERS
from llm_codes.lenses.replacement.stand_ins import PerLayer
from llm_codes.lenses.replacement.study import _Passes, replacement_model


@pytest.fixture(scope="module")
def opened() -> Any:
    model = load_model("embedded")
    train = load_corpus("sotu", model.tokenizer, context=64, n_tokens=1500, split="train")
    held_out = load_corpus("sotu", model.tokenizer, context=64, n_tokens=1500, split="held-out")
    return SimpleNamespace(model=model, train=train, held_out=held_out)


def test_the_order_of_what_stands_in_and_what_recovery_means(opened) -> None:
    found = replacement_model(opened.model, opened.train, opened.held_out)
    assert found.exactness <= 1e-5  # of logits of about 20: the bound of the local replacement model
    kl = {name: found.row(name).kl.value or 0.0 for name in (TRANSCODERS, LINEAR, SHUFFLED, MEANS)}
    assert kl[TRANSCODERS] < kl[LINEAR] < min(kl[SHUFFLED], kl[MEANS])
    for layer in map(str, range(opened.model.n_layers)):
        alone, together = found.row(TRANSCODERS, layer), found.row(TRANSCODERS)
        assert (alone.kl.value or 0) < (together.kl.value or 0) and (alone.top1.value or 0) > (together.top1.value or 0)
    assert not found.row(MEANS).ce_recovered.is_defined
    model, corpus = opened.model, opened.held_out
    losses = [
        model.cross_entropy(batch.tokens)[:, 1:][batch.mask[:, 2:]].double().sum().item() for batch in corpus.batches(8)
    ]
    counted = sum(int(batch.mask[:, 2:].sum()) for batch in corpus.batches(8))
    assert found.ce_model.value == pytest.approx(sum(losses) / counted, rel=1e-6)


def test_mlps_replaced_by_themselves_lose_nothing(opened) -> None:
    model = opened.model
    transcoders = open_transcoders(model)
    blocks = [model.bridge.blocks[layer].mlp.original_component for layer in range(model.n_layers)]
    own = [lambda x, mlp=mlp: mlp(x) for mlp in blocks]
    walk = HarvestOptions(batch_size=4)
    every = {name: own for name in (TRANSCODERS, LINEAR, SHUFFLED, MEANS)}
    sums = _Passes(model, opened.held_out, PerLayer(transcoders), walk, lambda: every).sums(ALL_LAYERS)
    tokens = sums["tokens"].sum()
    assert sums[f"{TRANSCODERS}.kl"].sum() / tokens == pytest.approx(0, abs=1e-5)
    assert sums[f"{TRANSCODERS}.top1"].sum() / tokens > 0.999
    np.testing.assert_allclose(sums[f"{LINEAR}.ce"], sums["model.ce"], rtol=1e-4)


def test_the_linear_map_is_least_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 6, generator=generator) + 3
    weight = torch.randn(6, 4, generator=generator)
    y = x @ weight - 2 + 0.1 * torch.randn(500, 4, generator=generator)
    fit = LinearFit.__new__(LinearFit)
    site = SimpleNamespace
    fit.places, fit.count, fit._shift, fit._sums = [(site(hook="x"), site(hook="y"))], 0, [], []
    for part in range(0, 500, 100):
        rows = {"x": x[None, part : part + 100], "y": y[None, part : part + 100]}
        fit.update(rows, None, torch.ones(1, 100, dtype=torch.bool))  # type: ignore[arg-type]
    found, offset, mean = fit.maps()[0]
    design = np.c_[x.numpy(), np.ones(500)].astype(float)
    expected = np.linalg.lstsq(design, y.numpy().astype(float), rcond=None)[0]
    np.testing.assert_allclose(found.numpy(), expected[:-1], atol=1e-4)
    np.testing.assert_allclose(offset.numpy(), expected[-1], atol=1e-3)
    np.testing.assert_allclose(mean.numpy(), y.numpy().mean(0), atol=1e-5)


def test_shuffled_features_are_as_active_and_as_long(opened) -> None:
    item = open_transcoders(opened.model)[2]
    x = torch.randn(5, item.decoder.shape[1], generator=torch.Generator().manual_seed(1))
    made, same = shuffled(item, 3)(x), shuffled(item, 3)(x)
    assert torch.equal(made, same) and made.shape == x.shape
    assert not torch.allclose(made, item.folder.reconstruct(x), atol=1e-2)
    assert torch.allclose(made - item.decoder_bias, shuffled(item, 3)(x) - item.decoder_bias)


def test_a_text_without_tokens_is_refused(opened) -> None:
    empty = opened.held_out.select(np.arange(0))
    with pytest.raises(UserError, match="expected tokens to score on; got none; raise --tokens"):
        replacement_model(opened.model, opened.train, empty)
