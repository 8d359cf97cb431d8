"""Folders of others: hook names they carry, read where they say by value on one model per norm layout."""

import json

import pytest
import torch

from eval.errors import UserError
from eval.torchvision_operators import declare_missing_operators
from llm_codes.__main__ import main
from llm_codes.lenses.connectors.study import mlp_function
from llm_codes.lenses.saes.files import load_sae, open_dictionary
from llm_codes.lenses.saes.matching import check_fits, check_pair
from llm_codes.lenses.saes.shipped import load_dictionary
from llm_codes.models import load_model
from llm_codes.sites import resolve_site

declare_missing_operators()

ALIASES = (
    "hook_resid_pre",
    "hook_attn_out",
    "hook_resid_mid",
    "ln2.hook_normalized",
    "hook_mlp_out",
    "hook_resid_post",
)
LAYOUTS = ("gpt2", "llama", "gemma2")  # layer norm before; RMS norm before; RMS norm before and after


def random_transformer(layout):
    """A small random model of `transformers` whose norms have gains (and biases) that matter."""
    import transformers

    shared = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    shared |= {"num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 64}
    torch.manual_seed(0)
    if layout == "gpt2":
        config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=320, n_positions=64)
        made = transformers.GPT2LMHeadModel(config)
    elif layout == "llama":
        made = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shared))
    else:
        made = transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**shared, head_dim=16))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "norm" in name or "ln_" in name else 0.1))
    return made.eval()


def truth(made, layout, tokens):
    """Every alias' value in layer 1, from forward hooks on the plain model."""
    seen = {}

    def keep(name, output=True):
        def hook(module, args, kwargs, result):
            result = result[0] if isinstance(result, tuple) else result
            inputs = args[0] if args else kwargs["hidden_states"]
            seen[name] = (result if output else inputs).detach()

        return lambda module: module.register_forward_hook(hook, with_kwargs=True)

    block = made.transformer.h[1] if layout == "gpt2" else made.model.layers[1]
    parts = {"gpt2": ("attn", "mlp", "ln_2"), "llama": ("self_attn", "mlp", "post_attention_layernorm")}
    after = ("post_attention_layernorm", "post_feedforward_layernorm", "pre_feedforward_layernorm")
    attention, mlp, norm = (getattr(block, name) for name in parts.get(layout, after))
    handles = [keep("hook_resid_pre", output=False)(block), keep("hook_resid_post")(block)]
    handles += [keep("hook_attn_out")(attention), keep("hook_mlp_out")(mlp), keep("hook_resid_mid", False)(norm)]
    made(tokens)
    for handle in handles:
        handle.remove()
    mid = seen["hook_resid_mid"]
    centred = mid - mid.mean(-1, keepdim=True) if layout == "gpt2" else mid
    epsilon = 1e-5 if layout == "gpt2" else 1e-6
    seen["ln2.hook_normalized"] = centred / (centred.square().mean(-1, keepdim=True) + epsilon).sqrt()
    return seen


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request, tiny_model_folder):
    """(name, hooked model, true values by alias, tokens) of one norm layout."""
    from transformers import AutoTokenizer

    made = random_transformer(request.param)
    tokens = torch.arange(5, 25).view(2, 10)
    values = truth(made, request.param, tokens)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    return request.param, load_model(hf_model=made, tokenizer=tokenizer), values, tokens


def test_every_alias_is_read_where_it_says(layout):
    _, model, values, tokens = layout
    for alias in ALIASES:
        site = resolve_site(model, f"blocks.1.{alias}")
        assert (site.layer, site.width) == (1, 32)
        torch.testing.assert_close(model.activations(tokens, [site])[site.hook], values[alias], atol=2e-5, rtol=1e-4)


def test_the_normalised_input_is_not_what_enters_the_mlp(layout):
    _, model, values, tokens = layout
    entering = model.activations(tokens, [resolve_site(model, "mlp_in", 1)])
    assert (next(iter(entering.values())) - values["ln2.hook_normalized"]).abs().max() > 0.1
    assert resolve_site(model, "blocks.1.ln2.hook_normalized").kind == "blocks.1.ln2.hook_normalized"


def test_what_the_branches_add_up_to_is_the_stream(layout):
    _, model, _, tokens = layout
    sites = {kind: resolve_site(model, kind, 1) for kind in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "mlp_in")}
    seen = model.activations(tokens, [*sites.values(), resolve_site(model, "resid_post", 1)])
    value = {kind: seen[site.hook] for kind, site in sites.items()}
    torch.testing.assert_close(value["resid_pre"] + value["attn_out"], value["resid_mid"], atol=2e-5, rtol=1e-4)
    total = value["resid_mid"] + value["mlp_out"]
    torch.testing.assert_close(total, seen[resolve_site(model, "resid_post", 1).hook], atol=2e-5, rtol=1e-4)
    alone = mlp_function(model, sites["mlp_in"])(value["mlp_in"].flatten(0, 1))
    torch.testing.assert_close(alone, value["mlp_out"].flatten(0, 1), atol=2e-5, rtol=1e-4)


def lens_folder(folder, hook, d_in=64, broken=(), **options):
    """A folder that sae-lens itself writes, of a random TopK SAE that reads `hook`."""
    from sae_lens import TopKSAE, TopKSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    torch.manual_seed(1)
    sae = TopKSAE(TopKSAEConfig(d_in, 96, k=5, metadata=SAEMetadata(hook_name=hook), **options))
    for parameter in sae.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    for tensor, value in broken:
        getattr(sae, tensor).data.view(-1)[0] = value
    sae.save_model(folder)
    return folder


@pytest.mark.parametrize("alias", ALIASES)
def test_sae_eval_opens_the_hook_names_that_folders_of_sae_lens_carry(alias, tmp_path, tiny_model_folder, text_folder):
    folder = lens_folder(tmp_path / "sae", f"blocks.1.{alias}")
    inputs = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--split", "all", "--tokens", "400"]
    out = tmp_path / "run"
    shown = ["--context", "32", "--threads", "1", "--dashboards", "2", "--sae", str(folder), "--out", str(out)]
    assert main(["sae", "eval", *inputs, *shown]) == 0
    results = json.loads((out / "results.json").read_text("utf-8"))
    assert results["l0"] == pytest.approx(5, abs=1e-6) and results["ce_delta"] is not None
    model = load_model(str(tiny_model_folder))
    assert results["hook"] == check_fits(load_sae(folder), model).hook == resolve_site(model, f"blocks.1.{alias}").hook
    writes = alias != "ln2.hook_normalized"
    assert all(("promotes" in entry) == writes for entry in results["features"]) and results["features"]


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_a_dictionary_that_normalises_decodes_with_the_statistics_of_what_it_read(kind, tmp_path, tiny_model_folder):
    model = load_model(str(tiny_model_folder))
    sae = load_sae(lens_folder(tmp_path / "sae", "blocks.1.hook_mlp_out", normalize_activations=kind))
    x = torch.randn(6, 64, generator=torch.Generator().manual_seed(0)) * 5 + 2
    once, twice = sae.reconstruct(x), sae.reconstruct(x)
    torch.testing.assert_close(once, twice)
    torch.testing.assert_close(sae.reconstruct(3 * x), 3 * once, atol=1e-2, rtol=1e-2)  # scale goes in and out again
    with pytest.raises(UserError, match="expected a dictionary that decodes features alone; sae has normalize_activ"):
        sae.decode(sae.encode(x))
    other = load_sae(lens_folder(tmp_path / "in", "blocks.1.mlp.hook_in"))
    with pytest.raises(UserError, match=f"features write in the model's units; sae has normalize_activations='{kind}'"):
        check_pair(check_fits(other, model), check_fits(sae, model))


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        ("sae eval", ["--sae"]),
        ("connector train", ["--from", "--to"]),
        ("circuit", ["--connector", "--from", "--to"]),
    ],
)
def test_weights_that_are_not_finite_are_named(verb, flags, tmp_path, tiny_model_folder, capsys):
    folder = str(lens_folder(tmp_path / "sae", "blocks.1.mlp.hook_in", broken=[("b_enc", float("nan"))]))
    given = [part for flag in flags for part in (flag, folder)]
    assert main([*verb.split(), "--model", str(tiny_model_folder), *given, "--out", str(tmp_path / "run")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "expected finite weights in sae; b_enc has 1 NaN or infinite of 96; train or copy it again" in line


def test_a_dictionary_of_an_object_and_of_what_ships():
    shipped = load_dictionary("embedded", site="mlp_out", layer=3)
    assert shipped.hook == "blocks.3.mlp.hook_out" and shipped.direction(851).shape == (192,)
    assert open_dictionary(shipped.sae).hook == shipped.hook and open_dictionary(shipped) is shipped
    assert len(repr(shipped)) < 120 and "1536 features" in repr(shipped)
    with pytest.raises(UserError, match=r"no dictionary ships at mlp_ou@3: did you mean mlp_out@3"):
        load_dictionary("embedded", site="mlp_ou", layer=3)
    with pytest.raises(UserError, match="unknown feature 1536: expected 0 to 1535; choose one of those"):
        shipped.direction(1536)
    with pytest.raises(UserError, match="expected a dictionary's folder or an SAE object of sae-lens; got int"):
        open_dictionary(3)
