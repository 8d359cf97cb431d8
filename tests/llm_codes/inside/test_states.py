"""Recurrent states of small random models: the recurrence worked by hand, and that the output is computed from them."""

from __future__ import annotations

import pytest
import torch

from eval.errors import UserError
from llm_codes.inside import states
from llm_codes.models import load_model
from llm_codes.sites import resolve_site
from tests.architectures import TOKENS, build, small_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


def test_the_state_of_mamba_is_its_recurrence(tokenizer):
    model = load_model(build("Mamba"), tokenizer=tokenizer)
    mixer = model.bridge.original_model.backbone.layers[0].mixer
    site, one = resolve_site(model, "ssm_state", 0), resolve_site(model, "ssm_state.5@0")
    seen = model.activations(TOKENS, ["blocks.0.mixer.x_proj.hook_in", site, one])
    x = seen["blocks.0.mixer.x_proj.hook_in"]  # [batch, position, channel]
    oc = mixer.original_component
    with torch.no_grad():
        low, write, _ = oc.x_proj(x).split([oc.time_step_rank, 8, 8], -1)
        step = torch.nn.functional.softplus(oc.dt_proj(low))
        state, expected = torch.zeros(2, 128, 8), []
        for t in range(10):
            decay = torch.exp(-torch.exp(oc.A_log) * step[:, t, :, None])
            state = decay * state + (step * x)[:, t, :, None] * write[:, t, None]
            expected.append(state)
    read = seen[site.hook].view(2, 10, 128, 8)
    assert torch.allclose(read, torch.stack(expected, 1), atol=1e-6)
    assert torch.equal(seen[one.hook], read[:, :, 5]) and (site.width, one.width) == (1024, 8)
    assert not mixer.eager_scan and states.state_checks(model).error < 1e-5


@pytest.mark.parametrize("family", ["Mamba", "Mamba 2", "Jamba"])
def test_a_state_that_is_changed_changes_the_logits_and_one_that_is_read_does_not(family, tokenizer):
    model = load_model(build(family), tokenizer=tokenizer)
    site = resolve_site(model, "ssm_state", 0)
    plain = model.logits(TOKENS).detach()
    same = model.logits(TOKENS, [(site.hook, lambda activation, hook: activation)])
    assert torch.allclose(same, plain, atol=1e-5)
    without = model.logits(TOKENS, [(site.hook, lambda activation, hook: torch.zeros_like(activation))]).detach()
    assert float((without - plain).abs().max()) > 1e-4
    assert torch.equal(model.logits(TOKENS), plain)
    mixer = model.bridge.blocks[0].mixer
    mixer.eager_scan = True  # as the caller set it
    model.activations(TOKENS, [site])
    assert mixer.eager_scan


def test_a_model_without_a_state_says_so(tokenizer):
    with pytest.raises(UserError, match="has no ssm_state in layer 0: no recurrent state is read here; see `sites`"):
        resolve_site(load_model(build("GPT-2"), tokenizer=tokenizer), "ssm_state", 0)
    with pytest.raises(UserError, match="has no ssm_state in layer 1: no recurrent state is read here"):
        resolve_site(load_model(build("Jamba"), tokenizer=tokenizer), "ssm_state", 1)


def test_a_scan_that_is_not_the_models_own_is_not_offered(tokenizer):
    model = load_model(build("Mamba"), tokenizer=tokenizer)
    mixer = model.bridge.blocks[1].mixer
    model.bridge.blocks[1].mixer._eager_scan_forward = lambda hidden, mask: (
        mixer.hook_ssm_state(torch.ones(1, 128, 12, 8)).mean() + torch.zeros_like(hidden)
    )
    with pytest.raises(UserError, match="layer 1: the mixer run on it differs from the model's own by"):
        resolve_site(model, "ssm_state", 1)
    assert resolve_site(model, "ssm_state", 0).width == 1024
