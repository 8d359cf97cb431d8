"""Codes set by hand on a tiny model: hidden units against a hook that sets them, and the control beside every row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.measures.clustering.clusters import cluster_codes
from llm_codes.corpus import load_corpus
from llm_codes.lenses.polytopes.interventions import _one, _Setter, cluster_interventions
from llm_codes.lenses.polytopes.samples import collect, hard_codes
from llm_codes.models import load_model
from llm_codes.sites import resolve_site


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model, text_folder):
    return load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=2500, split="all")


@pytest.fixture(scope="module")
def sample(model, corpus):
    return collect(model, corpus, [resolve_site(model, kind, 1) for kind in ("mlp_pre", "mlp_post")])


def test_units_set_by_hand_are_the_block_with_those_hidden_values(model, corpus, sample) -> None:
    pre, post = (resolve_site(model, kind, 1).hook for kind in ("mlp_pre", "mlp_post"))
    item = len(sample) // 2
    z = torch.tensor(sample.values[pre][item])
    on, off = int(z.argmin()), int(z.argmax())
    wanted = {pre: (torch.tensor([on, off]), torch.tensor([True, False]))}
    logits, moved = _one(model, corpus, sample, item, [1], wanted, np.random.default_rng(0))
    assert moved == [2, 2]
    row = int(np.flatnonzero(corpus.window == sample.window[item])[0])
    tokens = torch.as_tensor(corpus.tokens[row, : int(sample.position[item]) + 1].copy()).long()

    def by_hand(activation, hook):
        del hook
        out = activation.clone()
        out[:, -1, on], out[:, -1, off] = z[on], 0.0
        return out

    with torch.no_grad():
        plain = model.bridge(tokens[None], return_type="logits")[0, -1]
        with model.bridge.hooks(fwd_hooks=[(post, by_hand)]):
            forced = model.bridge(tokens[None], return_type="logits")[0, -1]
    torch.testing.assert_close(logits[0], plain.float(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(logits[1], forced.float(), rtol=1e-3, atol=1e-3)
    assert float((logits[1] - logits[0]).abs().max()) > 1e-4 < float((logits[2] - logits[0]).abs().max())
    mirrored = z.clone()
    mirrored[[on, off]] = -z[[on, off]]
    assert mirrored[on] > 0 > mirrored[off]

    def reflected(activation, hook):
        del hook
        out = activation.clone()
        out[:, -1, [on, off]] = torch.nn.functional.gelu(mirrored[[on, off]], approximate="tanh")
        return out

    with torch.no_grad(), model.bridge.hooks(fwd_hooks=[(post, reflected)]):
        forced = model.bridge(tokens[None], return_type="logits")[0, -1]
    torch.testing.assert_close(logits[3], forced.float(), rtol=1e-3, atol=1e-3)
    assert float((logits[3] - logits[1]).abs().max()) > 1e-4 < float((logits[4] - logits[0]).abs().max())


def test_random_units_are_the_same_ones_continued_and_mirrored() -> None:
    z = torch.tensor([-2.0, 1.0, -0.5, 3.0]).repeat(5, 1)
    wanted = {"pre": (torch.tensor([0, 1]), torch.tensor([True, True]))}
    setter = _Setter(wanted, {}, np.random.default_rng(0))
    mirrored = setter.keep(z[:, None], None, "pre")
    continued = setter.force(z.clamp(min=0)[:, None], None, "pre")
    assert mirrored is not None and setter.moved == [1, 1]
    assert mirrored[3, 0].tolist() == [2, 1, -0.5, 3] and continued[1, 0].tolist() == [-2, 1, 0, 3]
    drawn = int(setter.drawn["pre"][0])
    assert ((mirrored[4, 0] != z[4]).nonzero()[:, 0].tolist(), float(mirrored[4, 0, drawn])) == (
        [drawn],
        -float(z[4, drawn]),
    )
    assert float(continued[2, 0, drawn]) == (0.0 if z[2, drawn] > 0 else float(z[2, drawn]))
    assert torch.equal(mirrored[:3, 0], z[:3]) and torch.equal(continued[3:, 0], z[3:].clamp(min=0))


def test_rows_have_the_control_beside_them_and_are_those_of_the_seed(model, corpus, sample) -> None:
    codes = hard_codes(model, sample, [1])
    found = cluster_codes(codes, min_cluster_size=5, min_samples=2, method="leaf")
    rows = cluster_interventions(model, corpus, sample, codes, found, [1], count=2)
    assert len(rows) == 2 * min(2, found.n_clusters) > 0
    assert {row.values for row in rows} == {"continued", "mirrored"} and {row.network for row in rows} == {"trained"}
    for row in rows:
        assert row.n_items == 16 and 0 < row.flipped <= row.n_bits
        assert row.towards.value - row.towards_random.value == pytest.approx(row.beyond_random.value)
    again = cluster_interventions(model, corpus, sample, codes, found, [1], count=2)
    assert again == rows
