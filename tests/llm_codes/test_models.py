"""Models and sites: a tiny GPT-2, a gated model, a HookedTransformer; activations against transformers itself."""

from __future__ import annotations

import pytest
import torch

from eval.errors import UserError
from llm_codes.models import load_model, untrained_like
from llm_codes.sites import kinds, list_sites, parse_layers, resolve_site, resolve_sites


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def gated(tiny):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        num_hidden_layers=2,
        hidden_size=32,
        intermediate_size=48,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=320,
        max_position_embeddings=64,
    )
    return load_model(hf_model=LlamaForCausalLM(config), tokenizer=tiny.tokenizer)


TOKENS = torch.randint(0, 300, (3, 12), generator=torch.Generator().manual_seed(1))


def test_logits_equal_transformers(tiny, tiny_model_folder):
    from transformers import GPT2LMHeadModel

    reference = GPT2LMHeadModel.from_pretrained(tiny_model_folder).eval()
    with torch.no_grad():
        assert torch.allclose(tiny.logits(TOKENS), reference(TOKENS).logits, atol=1e-5)


def test_sites_read_what_they_say(tiny):
    """Each short name against the definition of a pre-norm block, computed from the weights by hand."""
    layer = 1
    names = ("resid_pre", "attn_out", "resid_mid", "mlp_in", "mlp_pre", "mlp_post", "mlp_out", "resid_post")
    sites = {name: resolve_site(tiny, name, layer) for name in names}
    found = tiny.activations(TOKENS, list(sites.values()))
    read = {name: found[site.hook] for name, site in sites.items()}
    block = tiny.bridge.original_model.transformer.h[layer]
    with torch.no_grad():
        assert torch.allclose(read["resid_mid"], read["resid_pre"] + read["attn_out"], atol=1e-5)
        assert torch.allclose(read["resid_post"], read["resid_mid"] + read["mlp_out"], atol=1e-5)
        weight, bias = block.ln_2.weight, block.ln_2.bias
        normed = torch.nn.functional.layer_norm(read["resid_mid"], (64,), weight, bias)
        assert torch.allclose(read["mlp_in"], normed, atol=1e-5)
        assert torch.allclose(
            read["mlp_post"], torch.nn.functional.gelu(read["mlp_pre"], approximate="tanh"), atol=1e-5
        )
    assert all(read[name].shape == (3, 12, sites[name].width) for name in names)


def test_gated_mlp(gated):
    sites = {name: resolve_site(gated, name, 0) for name in ("mlp_pre", "mlp_linear", "mlp_post")}
    found = gated.activations(TOKENS, list(sites.values()))
    gate, linear, post = (found[sites[name].hook] for name in sites)
    assert torch.allclose(post, torch.nn.functional.silu(gate) * linear, atol=1e-6)
    assert sites["mlp_pre"].hook == "blocks.0.mlp.gate.hook_out"


def test_the_pass_stops_after_the_last_layer_needed(tiny):
    calls = []
    block = tiny.bridge.original_model.transformer.h[1]
    handle = block.register_forward_hook(lambda *arguments: calls.append(1))
    tiny.activations(TOKENS, [resolve_site(tiny, "resid_post", 0)])
    handle.remove()
    assert calls == []


def test_hooks_do_not_leak(tiny):
    before = tiny.logits(TOKENS)
    site = resolve_site(tiny, "mlp_out", 0)
    changed = tiny.logits(TOKENS, [(site.hook, lambda activation, hook: activation * 0)])
    assert not torch.allclose(before, changed)
    tiny.activations(TOKENS, [site])
    assert torch.equal(before, tiny.logits(TOKENS))


def test_cross_entropy(tiny):
    loss = tiny.cross_entropy(TOKENS)
    expected = torch.log_softmax(tiny.logits(TOKENS), -1)[0, 3, TOKENS[0, 4]]
    assert loss.shape == (3, 11)
    assert torch.allclose(loss[0, 3], -expected, atol=1e-5)


def test_untrained_control_is_seeded(tiny_model_folder, tiny):
    one, two, other = (load_model(str(tiny_model_folder), untrained=True, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.logits(TOKENS), two.logits(TOKENS))
    assert not torch.allclose(one.logits(TOKENS), other.logits(TOKENS))
    assert one.provenance()["untrained"] and not tiny.provenance()["untrained"]


def plain(tiny, **changes):
    """A GPT-2 as transformers makes it, with another activation than the tiny one."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"n_layer": 3, "n_embd": 32, "n_head": 2, "vocab_size": 320, "n_positions": 64}
    return GPT2LMHeadModel(GPT2Config(**(shape | {"activation_function": "relu"} | changes)))


def ways_in(tiny, folder):
    """One model of every way in, with a fresh look at it each."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    config = HookedTransformerConfig(n_layers=2, d_model=32, n_ctx=32, d_head=16, n_heads=2, d_vocab=320, act_fn="relu")
    hooked = HookedTransformer(config, tokenizer=None)
    return {
        "folder": load_model(str(folder)),
        "transformers model": load_model(plain(tiny), tokenizer=tiny.tokenizer),
        "bridge": load_model(load_model(plain(tiny), tokenizer=tiny.tokenizer).bridge),
        "HookedTransformer": load_model(hooked, tokenizer=tiny.tokenizer),
    }


def test_untrained_control_has_the_architecture_and_other_weights_for_every_way_in(tiny, tiny_model_folder):
    for way, model in ways_in(tiny, tiny_model_folder).items():
        control, other = untrained_like(model, 1), untrained_like(model, 2)
        same = ("n_layers", "d_model", "d_mlp", "activation", "context", "vocabulary_size", "dtype", "device")
        assert [getattr(control, name) for name in same] == [getattr(model, name) for name in same], way
        assert not torch.allclose(control.logits(TOKENS), model.logits(TOKENS)), way
        assert not torch.allclose(control.logits(TOKENS), other.logits(TOKENS)), way
        assert torch.equal(untrained_like(control, 1).logits(TOKENS), control.logits(TOKENS)), way
        assert control.untrained and control.provenance()["init_seed"] == 1 and not model.untrained, way


def test_the_control_of_an_object_is_not_looked_up_by_its_name(tiny):
    control = load_model(hf_model=plain(tiny), tokenizer=tiny.tokenizer, untrained=True, seed=4)
    assert (control.n_layers, control.activation, control.untrained) == (3, "relu", True)
    assert not torch.allclose(control.logits(TOKENS), load_model(plain(tiny), tokenizer=tiny.tokenizer).logits(TOKENS))
    assert control.weights_sha256 == untrained_like(load_model(plain(tiny), tokenizer=tiny.tokenizer), 4).weights_sha256


def test_named_and_opened_controls_are_the_same_draw(tiny, tiny_model_folder):
    named = load_model(str(tiny_model_folder), untrained=True, seed=3)
    assert named.weights_sha256 == untrained_like(tiny, 3).weights_sha256


def test_an_object_of_the_caller_is_never_changed(tiny):
    mine = plain(tiny, resid_pdrop=0.5).to(torch.bfloat16).train()
    before, pointer = list(mine.state_dict()), mine.transformer.wte.weight.data_ptr()
    model = load_model(mine, tokenizer=tiny.tokenizer)
    assert torch.equal(model.logits(TOKENS), model.logits(TOKENS))  # no dropout
    assert list(mine.state_dict()) == before and mine.training and mine.dtype == torch.bfloat16 == model.dtype
    assert mine.transformer.wte.weight.data_ptr() == pointer
    assert model.bridge.original_model.transformer.wte.weight.data_ptr() == pointer  # shared, not copied
    wide = load_model(mine, tokenizer=tiny.tokenizer, dtype="float32")
    assert wide.dtype == torch.float32 and mine.dtype == torch.bfloat16


def test_a_bridge_in_training_mode_is_read_without_dropout_and_left_in_it(tiny):
    bridge = load_model(plain(tiny, resid_pdrop=0.5), tokenizer=tiny.tokenizer).bridge.train()
    model = load_model(bridge)
    assert torch.equal(model.logits(TOKENS), model.logits(TOKENS))
    assert bridge.training and all(module.training for module in bridge.blocks[0].modules())


def test_changed_weights_have_another_hash(tiny_model_folder):
    model = load_model(str(tiny_model_folder))
    before = model.weights_sha256
    assert before == load_model(str(tiny_model_folder)).weights_sha256 == model.provenance()["weights_sha256"]
    with torch.no_grad():
        next(model.bridge.parameters()).view(-1)[0] += 1
    assert model.weights_sha256 != before


def test_a_class_says_what_a_config_without_architectures_is(tiny):
    mine = plain(tiny)
    mine.config.architectures = None
    assert load_model(mine, tokenizer=tiny.tokenizer).n_layers == 3
    assert mine.config.architectures is None


def test_a_wrapper_around_a_transformers_model_is_opened(tiny):
    class Wrapper:
        def __init__(self, model):
            self._model = model

    assert load_model(Wrapper(plain(tiny)), tokenizer=tiny.tokenizer).activation == "relu"


def test_representation_is_one_line(tiny):
    assert len(repr(tiny)) < 300 and "2 layers, width 64, MLP 256 (gelu_new), context 64, float32 on cpu" in repr(tiny)


def test_an_existing_bridge_and_a_hooked_transformer(tiny):
    wrapped = load_model(tiny.bridge)
    assert torch.equal(wrapped.logits(TOKENS), tiny.logits(TOKENS))
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    config = HookedTransformerConfig(n_layers=2, d_model=32, n_ctx=32, d_head=16, n_heads=2, d_vocab=320, act_fn="gelu")
    hooked = load_model(HookedTransformer(config))
    site = resolve_site(hooked, "mlp_post", 1)
    assert site.hook == "blocks.1.mlp.hook_post"
    assert hooked.activations(TOKENS, [site])[site.hook].shape == (3, 12, 128)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: resolve_site(m, "resid_pots", 0), "unknown site 'resid_pots': did you mean resid_post"),
        (lambda m: resolve_site(m, "mlp_out"), "needs a layer in 0..1; write mlp_out@3"),
        (lambda m: resolve_site(m, "mlp_out", 9), "expected layers within 0..1, got '9'"),
        (lambda m: parse_layers("a:b", 4), "expected layers like `4:6`"),
        (lambda m: m.activations(TOKENS, ["blocks.0.mlp.hook_ot"]), "has no hook 'blocks.0.mlp.hook_ot': did you mean"),
        (lambda m: m.logits(torch.zeros(1, 65, dtype=torch.long)), "65 tokens exceed the context"),
        (lambda m: load_model("gpt3"), "cannot load model 'gpt3' .*did you mean gpt2"),
        (lambda m: load_model("nowhere.gguf"), "expected a GGUF file at nowhere.gguf, found none"),
        (lambda m: load_model("embedded", device="cuda"), "this machine has none; use --device cpu"),
        (lambda m: load_model("embedded", device="tpu"), "unknown device 'tpu'"),
        (lambda m: load_model("embedded", dtype="float23"), "unknown dtype 'float23': did you mean float32"),
        (
            lambda m: load_model(m, dtype="float64"),
            "expected an open model's own dtype, torch.float32; got dtype=torch.",
        ),
        (lambda m: load_model(m.bridge, dtype="bfloat16"), "move the model before load_model"),
        (lambda m: load_model(m, hf_model=m), "expected one model, got two"),
        (lambda m: load_model(plain(m)), "expected tokenizer= beside a transformers model, got none"),
        (
            lambda m: load_model(plain(m, vocab_size=300), tokenizer=m.tokenizer),
            "expected a tokenizer of at most 300 tokens, the rows of hf_model's embedding; got .*is '.*' .300.; pass",
        ),
        (lambda m: load_model(3), "expected a model name, a path, a transformers model or a bridge, got int"),
    ],
)
def test_error_texts(tiny, call, text):
    if "cuda" in text or "has none" in text and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match=text):
        call(tiny)


def test_layers_and_specs(tiny):
    assert parse_layers(":", 4) == [0, 1, 2, 3]
    assert parse_layers("1:3,-1", 4) == [1, 2, 3]
    sites = resolve_sites(tiny, ("resid_post", "mlp_post@0"), "1")
    assert [site.name for site in sites] == ["resid_post@1", "mlp_post@0"]
    assert resolve_sites(tiny, ("blocks.0.mlp.hook_out",))[0].kind == "mlp_out"
    assert resolve_sites(tiny, ("ln_final.hook_out",))[0].width == 64


def test_the_listing_has_every_kind_in_every_layer(tiny):
    rows = list_sites(tiny)
    assert len(rows) == 2 * len(kinds(tiny))
    assert {row.hook for row in rows} <= tiny.hook_names


def test_a_folder_without_a_tokenizer_takes_another(tiny_model_folder, tmp_path):
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(tiny_model_folder, bare, ignore=shutil.ignore_patterns("tokenizer*"))
    expected = load_model(str(tiny_model_folder))
    for tokenizer in (str(tiny_model_folder), expected.tokenizer):
        found = load_model(str(bare), tokenizer=tokenizer)
        assert found.tokenizer_sha256 == expected.tokenizer_sha256 and found.weights_sha256 == expected.weights_sha256
    with pytest.raises(UserError, match="expected a tokenizer with .*bare; it brings none; pass tokenizer="):
        load_model(str(bare))


def test_code_of_a_repository_is_not_run(tiny_model_folder, tmp_path):
    import json
    import shutil

    own = tmp_path / "own"
    shutil.copytree(tiny_model_folder, own)
    config = json.loads((own / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "code.Own", "AutoModelForCausalLM": "code.Own"}}
    (own / "config.json").write_text(json.dumps(config))
    (own / "code.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(UserError, match="it holds Python of its own, which is not run unless trust_remote_code is set"):
        load_model(str(own))


def test_a_placement_over_devices(tiny_model_folder):
    assert load_model(str(tiny_model_folder), device_map="cpu").device == "cpu"
    with pytest.raises(UserError, match="expected device_map by itself; got device= or untrained= beside it"):
        load_model(str(tiny_model_folder), device_map="cpu", device="cpu")


def test_a_revision_is_asked_of_the_hub(monkeypatch):
    from transformers import AutoConfig

    asked = []

    def refuse(name, **how):
        asked.append((name, how))
        raise OSError("no network")

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(UserError, match="cannot load model 'some/model' [(]no network[)]"):
        load_model("some/model", revision="step1000", trust_remote_code=True)
    with pytest.raises(UserError):
        load_model("some/model")
    assert asked == [("some/model", {"revision": "step1000", "trust_remote_code": True}), ("some/model", {})]
