"""Routers of small random mixtures: what plain modules see, what they route, and that they are read only."""

from __future__ import annotations

import pytest
import torch

from eval.errors import UserError
from llm_codes.inside import routers
from llm_codes.models import load_model
from llm_codes.sites import list_inside_sites, resolve_site
from tests.architectures import TOKENS, build, small_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.mark.parametrize(
    ("family", "module"),
    [
        ("Mixtral", "model.layers.1.mlp.gate"),
        ("Qwen 3 MoE", "model.layers.1.mlp.gate"),
        ("OLMoE", "model.layers.1.mlp.gate"),
        ("Jamba", "model.layers.1.feed_forward.router"),
    ],
)
def test_logits_of_a_router(family, module, tokenizer):
    plain = build(family)
    model = load_model(plain, tokenizer=tokenizer)
    seen = []
    plain.get_submodule(module).register_forward_hook(lambda module, given, made: seen.append(made[0]))
    with torch.no_grad():
        plain(TOKENS)
    whole, one = resolve_site(model, "router", 1), resolve_site(model, "router.1@1")
    read = model.activations(TOKENS, [whole, one])
    assert torch.allclose(read[whole.hook], seen[0].view(2, 10, -1), atol=1e-5) and one.width == 1
    assert torch.equal(read[one.hook], read[whole.hook][..., 1:2])
    assert whole.width == routers.n_experts(model) and routers.router_checks(model).error < 1e-5


def test_experts_without_the_shared_one(tokenizer):
    plain = build("Qwen 2 MoE")
    model = load_model(plain, tokenizer=tokenizer)
    seen = []
    plain.model.layers[1].mlp.experts.register_forward_hook(lambda module, given, made: seen.append(made))
    with torch.no_grad():
        plain(TOKENS)
    experts, out = resolve_site(model, "experts", 1), resolve_site(model, "mlp_out", 1)
    read = model.activations(TOKENS, [experts, out])
    assert torch.allclose(read[experts.hook], seen[0].view(2, 10, 64), atol=1e-5)
    without: dict[str, torch.Tensor] = {}
    keep = (out.hook, lambda activation, hook: without.__setitem__("out", activation))
    model.logits(TOKENS, [(experts.hook, lambda activation, hook: torch.zeros_like(activation)), keep])
    assert torch.allclose(without["out"], read[out.hook] - read[experts.hook], atol=1e-6)
    with pytest.raises(UserError, match="expected experts without a number in hf_model, got 2"):
        resolve_site(model, "experts.2", 1)


def test_a_router_is_not_written(tokenizer):
    model = load_model(build("Mixtral"), tokenizer=tokenizer)
    router = resolve_site(model, "router", 0)
    with pytest.raises(UserError, match="expected a site that the model reads back; got router, whose logits"):
        model.logits(TOKENS, [(router.hook, lambda activation, hook: torch.zeros_like(activation))])


def test_what_does_not_verify_or_is_not_there_says_so(tokenizer, monkeypatch):
    dense = load_model(build("Llama"), tokenizer=tokenizer)
    with pytest.raises(UserError, match="has no router in layer 1: its MLP has no experts; see `sites`"):
        resolve_site(dense, "router", 1)
    assert not any(row.name.startswith(("router", "experts")) for row in list_inside_sites(dense))
    hidden = load_model(build("gpt-oss"), tokenizer=tokenizer)
    with pytest.raises(UserError, match="has no router in layer 0: no logits of a router are read here"):
        resolve_site(hidden, "router", 0)
    with pytest.raises(UserError, match="no experts in layer 0: no hook reads them; where no expert is shared, their"):
        resolve_site(hidden, "experts", 0)
    monkeypatch.setattr(routers, "_chosen", lambda model: 1)
    wrong = load_model(build("Mixtral"), tokenizer=tokenizer)
    with pytest.raises(UserError, match=r"what its logits route differs from what the experts add by \d+%"):
        resolve_site(wrong, "router", 0)
