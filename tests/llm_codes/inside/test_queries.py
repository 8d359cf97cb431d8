"""Queries and keys on small random models: what plain modules project, and what the pattern is computed from."""

from __future__ import annotations

import pytest
import torch

from eval.errors import UserError
from llm_codes.inside import queries
from llm_codes.models import load_model
from llm_codes.sites import resolve_site
from tests.architectures import TOKENS, build, small_tokenizer

HEAD, HEADS, WIDTH = 16, 4, 64


def thirds(made):
    return made.split(WIDTH, -1)


def by_head(made):
    return [part.flatten(2) for part in made.view(*made.shape[:2], HEADS, 3 * HEAD).split(HEAD, -1)]


FUSED = {
    "GPT-2": ("transformer.h.1.attn.c_attn", thirds),
    "MPT": ("transformer.blocks.1.attn.Wqkv", thirds),
    "Pythia, GPT-NeoX": ("gpt_neox.layers.1.attention.query_key_value", by_head),
    "Phi 3": ("model.layers.1.self_attn.qkv_proj", lambda made: made.split((64, 32, 32), -1)),
}
APART = ("Llama", "Qwen 3", "Gemma 2", "Mixtral", "gpt-oss")


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


def read(family, tokenizer, modules):
    """What plain hooks on these modules see, and what the sites q and k of layer 1 read."""
    plain = build(family)
    model = load_model(plain, tokenizer=tokenizer)
    seen = []
    for name in modules:
        plain.get_submodule(name).register_forward_hook(lambda module, given, made: seen.append(made))
    with torch.no_grad():
        plain(TOKENS)
    sites = [resolve_site(model, kind, 1) for kind in ("q", "k")]
    found = model.activations(TOKENS, sites)
    assert queries.query_checks(model).reasons == {}
    return seen, [found[site.hook] for site in sites]


@pytest.mark.parametrize("family", FUSED)
def test_queries_and_keys_of_a_fused_projection(family, tokenizer):
    module, parts = FUSED[family]
    (made,), (q, k) = read(family, tokenizer, [module])
    true_q, true_k, _ = parts(made)
    assert torch.allclose(q, true_q, atol=1e-5) and torch.allclose(k, true_k, atol=1e-5)


@pytest.mark.parametrize("family", APART)
def test_queries_and_keys_of_their_own_projections(family, tokenizer):
    start = "model.layers.1.self_attn"
    (true_q, true_k), (q, k) = read(family, tokenizer, [f"{start}.q_proj", f"{start}.k_proj"])
    assert torch.allclose(q, true_q, atol=1e-5) and torch.allclose(k, true_k, atol=1e-5) and k.shape[-1] == 32


def test_heads_that_are_normed_together_are_not_offered_apart(tokenizer):
    model = load_model(build("OLMo 2"), tokenizer=tokenizer)
    with pytest.raises(UserError, match="has no q in layer 1: the pattern of other heads follows the last head of q"):
        resolve_site(model, "q", 1)
    assert resolve_site(model, "z", 1).width == WIDTH


def test_queries_that_the_pattern_does_not_use_are_not_offered(tokenizer, monkeypatch):
    swapped = load_model(build("Llama"), tokenizer=tokenizer)
    monkeypatch.setitem(queries.SUFFIXES, "q", "attn.hook_z")
    with pytest.raises(UserError, match=r"has no q in layer 0: other queries and keys give a pattern that is \d+% off"):
        resolve_site(swapped, "q", 0)
    monkeypatch.undo()
    turned = load_model(build("Llama"), tokenizer=tokenizer)
    monkeypatch.setattr(queries, "CHANGE", 1.0)
    with pytest.raises(UserError, match="changing the last head of q does not change its pattern"):
        resolve_site(turned, "q", 0)


def test_half_precision_verifies_too(tokenizer):
    model = load_model(build("Qwen 3").to(torch.bfloat16), tokenizer=tokenizer)
    assert queries.query_checks(model).reasons == {}
