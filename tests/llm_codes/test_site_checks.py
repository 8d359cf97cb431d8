"""Sites on small random models of many families: what is offered adds up, what does not is named, logits are equal."""

from __future__ import annotations

import pytest
import torch
import transformers

from eval.errors import UserError
from llm_codes.model_checks import check_logits
from llm_codes.models import load_model
from llm_codes.site_checks import of_layer, probe_tokens
from llm_codes.sites import list_sites, resolve_site

COMMON = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
}
FAMILIES = {
    "Bloom": {"vocab_size": 320, "hidden_size": 64, "n_layer": 2, "n_head": 4},
    "Mpt": {"vocab_size": 320, "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
    "GPTNeoX": {name: value for name, value in COMMON.items() if name != "num_key_value_heads"},
    "Gemma2": {**COMMON, "head_dim": 16},
    "Gemma3": {**COMMON, "head_dim": 16},
    "Olmo2": COMMON,
    "Granite": {**COMMON, "residual_multiplier": 0.3},
    "Mixtral": {**COMMON, "num_local_experts": 4},
    "Qwen2Moe": {**COMMON, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "GptOss": {**COMMON, "head_dim": 16, "intermediate_size": 64, "num_local_experts": 4, "num_experts_per_tok": 2},
    "OPT": {**COMMON, "ffn_dim": 96, "word_embed_proj_dim": 64},
    "Llama": COMMON,
}
POST_NORMS = ("model.layers.1.post_attention_layernorm", "model.layers.1.post_feedforward_layernorm", 1.0)
"""The modules whose output is added to the stream in layer 1, and what multiplies it."""
ADDED = {
    "Bloom": ("transformer.h.1.self_attention.dense", "transformer.h.1.mlp.dense_4h_to_h", 1.0),
    "Mpt": ("transformer.blocks.1.attn.out_proj", "transformer.blocks.1.ffn.down_proj", 1.0),
    "GPTNeoX": ("gpt_neox.layers.1.attention.dense", "gpt_neox.layers.1.mlp.dense_4h_to_h", 1.0),
    "Gemma2": POST_NORMS,
    "Gemma3": POST_NORMS,
    "Olmo2": POST_NORMS,
    "Granite": ("model.layers.1.self_attn.o_proj", "model.layers.1.mlp.down_proj", 0.3),
    "OPT": ("model.decoder.layers.1.self_attn.out_proj", "model.decoder.layers.1.fc2", 1.0),
}
TOKENS = torch.randint(0, 300, (2, 10), generator=torch.Generator().manual_seed(1))


def open_family(family: str, tokenizer):
    """A random model of a family, plain and hooked; its config does not name its class."""
    torch.manual_seed(0)
    config = "Gemma3TextConfig" if family == "Gemma3" else f"{family}Config"
    plain = getattr(transformers, f"{family}ForCausalLM")(getattr(transformers, config)(**FAMILIES[family]))
    plain.config.architectures = None
    return plain.eval(), load_model(plain, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder):
    return load_model(str(tiny_model_folder)).tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_offered_adds_up(family, tokenizer):
    plain, model = open_family(family, tokenizer)
    offered = {row.name: row.hook for row in list_sites(model) if row.hook and row.name.endswith("@0")}
    read = model.activations(TOKENS, list(offered.values()))
    at = {name.removesuffix("@0"): read[hook] for name, hook in offered.items()}
    with torch.no_grad():
        states = plain(TOKENS, output_hidden_states=True).hidden_states
    assert torch.allclose(at["resid_pre"], states[0], atol=1e-4)
    assert torch.allclose(at["resid_post"], states[1], atol=1e-4)
    assert torch.allclose(at["resid_pre"] + at["attn_out"] + at["mlp_out"], at["resid_post"], atol=1e-4)
    if "resid_mid" in at:
        assert torch.allclose(at["resid_pre"] + at["attn_out"], at["resid_mid"], atol=1e-4)


@pytest.mark.parametrize("family", ADDED)
@pytest.mark.parametrize("kind", ["attn_out", "mlp_out", "blocks.1.hook_attn_out", "blocks.1.hook_mlp_out"])
def test_a_branch_is_what_forward_hooks_on_the_plain_model_see_added(family, kind, tokenizer):
    plain, model = open_family(family, tokenizer)
    attention, mlp, factor = ADDED[family]
    seen = []
    plain.get_submodule(attention if "attn" in kind else mlp).register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        plain(TOKENS)
    site = resolve_site(model, kind, None if "." in kind else 1)
    read = model.activations(TOKENS, [site])[site.hook]
    assert torch.allclose(read, factor * seen[0].reshape(read.shape), atol=1e-5)


@pytest.mark.parametrize(
    ("family", "kind", "reason"),
    [
        ("GPTNeoX", "resid_mid", "it equals resid_pre: no such place in parallel blocks"),
        ("Mixtral", "mlp_pre", r"what is read there has shape \[12, 4\], not \[batch, position, 128\]"),
        ("Mixtral", "mlp_post", "what is read there has shape"),
        ("Qwen2Moe", "mlp_pre", r"what is read there has shape \[12, 4\], not \[batch, position, 128\]"),
        ("Qwen2Moe", "mlp_post", "what is read there has shape"),
        ("GptOss", "mlp_post", "it equals mlp_out: the hidden units of this MLP are not within reach"),
        ("GptOss", "mlp_pre", "no hidden units are read here to check it on"),
    ],
)
def test_what_does_not_hold_what_it_says_is_not_offered(family, kind, reason, tokenizer):
    _, model = open_family(family, tokenizer)
    with pytest.raises(UserError, match=f"has no {kind} in layer 1: {reason}.*; see `sites`"):
        resolve_site(model, kind, 1)
    (row,) = [row for row in list_sites(model) if row.name == f"{kind}@1"]
    assert row.hook is None and row.meaning.startswith("not offered: ")


def test_hidden_units_of_any_width(tokenizer):
    _, model = open_family("OPT", tokenizer)
    assert model.d_mlp == 96 and resolve_site(model, "mlp_post", 0).width == 96


def test_a_broken_identity_is_named_with_its_size():
    pre, attention, mlp = (torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(n)) for n in range(3))
    middle = pre + attention
    sound = {"resid_pre": pre, "attn_out": attention, "resid_mid": middle, "mlp_out": mlp, "resid_post": middle + mlp}
    widths = dict.fromkeys(sound, 8)
    assert of_layer(sound, widths).reasons == {} and of_layer(sound, widths).form == "sequential"
    assert list(of_layer({**sound, "mlp_out": middle + mlp}, widths).reasons) == ["mlp_out"]  # the stream, as in BLOOM
    (reason,) = of_layer({**sound, "attn_out": attention * 3}, widths).reasons.values()
    assert reason.startswith("resid_pre + attn_out differs from resid_mid by 200%")
    assert of_layer({**sound, "mlp_in": None}, widths).reasons == {"mlp_in": "it is listed and never fires"}
    twice = of_layer({**sound, "mlp_post": mlp}, {**widths, "mlp_post": 8}).reasons
    assert twice == {"mlp_post": "it equals mlp_out: the hidden units of this MLP are not within reach"}
    moved = of_layer(sound, widths, before=pre * 2).reasons
    assert moved == {"resid_pre": "it differs from resid_post of the block before by 50%"}


def test_a_small_addition_to_a_large_stream_is_checked_by_its_own_size():
    """In a stream of thousands a wrong branch of size 1 is far within a thousandth of the stream."""
    pre, attention, mlp = (torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(n)) for n in range(3))
    pre = pre * 1e4
    middle = pre + attention
    sound = {"resid_pre": pre, "attn_out": attention, "resid_mid": middle, "mlp_out": mlp, "resid_post": middle + mlp}
    widths = dict.fromkeys(sound, 8)
    assert of_layer(sound, widths).reasons.keys() <= {"resid_mid"}
    assert "attn_out" in of_layer({**sound, "attn_out": attention * 3, "mlp_out": -mlp}, widths).reasons


def test_hidden_units_that_another_nonlinearity_made_are_named():
    before = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    widths = {"mlp_pre": 8, "mlp_post": 8}
    read = {"mlp_pre": before, "mlp_post": torch.nn.functional.gelu(before)}
    assert of_layer(read, widths, "gelu").reasons == {}
    assert of_layer(read, widths, "relu").reasons["mlp_pre"].startswith("relu(mlp_pre) differs from mlp_post by ")
    assert of_layer({"mlp_pre": before}, widths).reasons == {"mlp_pre": "no hidden units are read here to check it on"}


def test_a_model_that_computes_something_else_with_hooks_is_refused(tokenizer):
    plain, model = open_family("Llama", tokenizer)
    with torch.no_grad():
        logits = plain(probe_tokens(320, 64)).logits
    check_logits(model, logits)
    with pytest.raises(UserError, match=r"logits 100\.00% off: its architecture \(LlamaForCausalLM\) is not hooked"):
        check_logits(model, logits / 2)


def test_weights_that_were_written_to_are_checked_again(tokenizer):
    _, model = open_family("Llama", tokenizer)
    assert resolve_site(model, "mlp_out", 1).width == resolve_site(model, "z", 1).width == 64
    with torch.no_grad():
        next(model.bridge.blocks[1].attn.q.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match="has no mlp_out in layer 1: expected finite activations; got NaN or infinity"):
        resolve_site(model, "mlp_out", 1)
    with pytest.raises(UserError, match="has no z in layer 1: the pattern times v differs from z by nan%"):
        resolve_site(model, "z", 1)
