"""The conditions of an explanation run hold what their names say: fresh weights; other windows of the same split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from eval.explanation.windows import SPLITS
from llm_codes.corpus import load_corpus
from llm_codes.lenses.explain.recording import _shuffle_within_splits, record
from llm_codes.models import load_model, untrained_like
from llm_codes.sites import resolve_site


def test_the_untrained_condition_is_the_same_neuron_of_a_network_with_fresh_weights(
    tiny_model_folder: Path, text_folder: Path
) -> None:
    model = load_model(str(tiny_model_folder))
    corpus = load_corpus(str(text_folder), model.tokenizer, context=33, split="all")
    found = record(
        model, corpus, units=("neuron",), per_layer=1, random_windows=4, top_windows=1,
        controls=("untrained", "shuffled"), seed=5,
    )  # fmt: skip
    networks = {"trained": model, "untrained": untrained_like(model, 5)}
    for name, network in networks.items():
        book = found.books[name]
        unit, shown = book.units[0], book.random(0, "score")[0]
        site = resolve_site(network, "mlp_post", unit.layer)
        tokens = torch.tensor(np.asarray(found.windows.tokens[shown.window]))[None]
        own = network.activations(tokens, [site])[site.hook][0, 1:, unit.index].relu().numpy()
        np.testing.assert_allclose(shown.values, own, atol=1e-5)
    trained, control = (found.books[name].shared_values("score") for name in networks)
    assert trained.shape == control.shape and not np.allclose(trained, control, atol=1e-3)

    order = _shuffle_within_splits(found.windows, 5)
    assert sorted(order) == list(range(len(found.windows))) and (order != np.arange(len(order))).mean() > 0.5
    assert (found.windows.split[order] == found.windows.split).all() and len(SPLITS) == 3
    assert not np.allclose(found.books["shuffled"].shared_values("score"), trained)
