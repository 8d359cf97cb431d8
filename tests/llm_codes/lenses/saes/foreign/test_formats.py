"""Formats of others, as their own code writes them: features and reconstructions are those of their classes."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from eval.errors import UserError
from llm_codes.lenses.saes.files import load_sae

D, N = 12, 40


def tensor(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.5


X = tensor(30, D, seed=9)


def dictionary_learning(kind):
    """State dict of `dictionary_learning` and what its class computes: (state, features, reconstruction)."""
    encoder, decoder = tensor(N, D, seed=1), tensor(D, N, seed=2)
    bias, b_dec, vector = tensor(N, seed=3), tensor(D, seed=4), tensor(N, seed=5)
    scores = (X - b_dec) @ encoder.T
    if kind == "AutoEncoder":
        state = {"bias": b_dec, "encoder.weight": encoder, "encoder.bias": bias, "decoder.weight": decoder}
        features = (scores + bias).relu()
        return state, features, features @ decoder.T + b_dec
    if kind == "GatedAutoEncoder":
        state = {"decoder_bias": b_dec, "encoder.weight": encoder, "decoder.weight": decoder}
        state |= {"r_mag": vector, "gate_bias": bias, "mag_bias": vector + 0.1}
        features = (scores + bias > 0) * (vector.exp() * scores + vector + 0.1).relu()
        return state, features, features @ decoder.T + b_dec
    if kind == "JumpReluAutoEncoder":
        state = {"W_enc": encoder.T, "b_enc": bias, "W_dec": decoder.T, "b_dec": b_dec, "threshold": vector.abs()}
        pre = X @ encoder.T + bias
        features = (pre * (pre > vector.abs())).relu()
        return state, features, features @ decoder.T + b_dec
    if kind == "MatryoshkaBatchTopKSAE":
        features = (scores + bias).relu() * (scores + bias > 0.3)
        state = {"W_enc": encoder.T, "b_enc": bias, "W_dec": decoder.T, "b_dec": b_dec, "k": torch.tensor(4)}
        state |= {"threshold": torch.tensor(0.3), "group_sizes": torch.tensor([10, 30])}
        return state, features, features @ decoder.T + b_dec
    state = {"b_dec": b_dec, "encoder.weight": encoder, "encoder.bias": bias, "decoder.weight": decoder}
    state |= {"k": torch.tensor(4), "threshold": torch.tensor(0.3)}
    pre = (scores + bias).relu()
    if kind == "BatchTopKSAE":
        features = pre * (pre > 0.3)
    else:
        top = pre.topk(4, dim=1)
        features = torch.zeros_like(pre).scatter_(1, top.indices, top.values)
    return state, features, features @ decoder.T + b_dec


@pytest.mark.parametrize(
    "kind",
    [
        "AutoEncoder",
        "GatedAutoEncoder",
        "JumpReluAutoEncoder",
        "BatchTopKSAE",
        "MatryoshkaBatchTopKSAE",
        "AutoEncoderTopK",
    ],
)
def test_dictionary_learning_is_opened(tmp_path, kind):
    state, features, made = dictionary_learning(kind)
    torch.save(state, tmp_path / "ae.pt")
    trainer = {"dict_class": kind, "layer": 2, "lm_name": "org/gpt2", "submodule_name": "mlp", "k": 4}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}))
    sae = load_sae(tmp_path)
    torch.testing.assert_close(sae.encode(X), features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sae.reconstruct(X), made, atol=1e-5, rtol=1e-4)
    assert (sae.hook, sae.metadata["model_name"]) == ("blocks.2.hook_mlp_out", "org/gpt2")


def test_nothing_is_unpickled(tmp_path):
    class Harm:
        def __reduce__(self):
            return (print, ("unpickled",))

    torch.save({"encoder.weight": Harm()}, tmp_path / "ae.pt")
    with pytest.raises(UserError, match=r"expected ae.pt in .*; it is damaged \(Weights only load failed"):
        load_sae(tmp_path)


def test_sparsify_is_opened(tmp_path):
    folder = tmp_path / "layers.3.mlp"
    folder.mkdir()
    encoder, decoder, bias, b_dec = tensor(N, D, seed=1), tensor(N, D, seed=2), tensor(N, seed=3), tensor(D, seed=4)
    weights = {"encoder.weight": encoder, "encoder.bias": bias, "W_dec": decoder, "b_dec": b_dec}
    save_file(weights, folder / "sae.safetensors")
    words = {"d_in": D, "num_latents": N, "k": 4, "signed": False, "transcode": False}
    (folder / "cfg.json").write_text(json.dumps(words))
    top = ((X - b_dec) @ encoder.T + bias).relu().topk(4, dim=1)
    features = torch.zeros(len(X), N).scatter_(1, top.indices, top.values)
    sae = load_sae(folder)
    torch.testing.assert_close(sae.encode(X), features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sae.reconstruct(X), features @ decoder + b_dec, atol=1e-5, rtol=1e-4)
    assert sae.hook == "blocks.3.hook_mlp_out"
    for changed, text in (
        ({"signed": True}, "expected features of one sign; .* is a signed TopK of sparsify, which is not read"),
        ({"activation": "groupmax"}, "expected a TopK; .* is a groupmax of sparsify, which is not read"),
    ):
        (folder / "cfg.json").write_text(json.dumps({**words, **changed}))
        with pytest.raises(UserError, match=text):
            load_sae(folder)


@pytest.mark.parametrize("skip", [False, True])
def test_a_transcoder_of_sparsify_keeps_its_k_largest(tmp_path, skip):
    folder = tmp_path / "layers.3.mlp"
    folder.mkdir()
    encoder, decoder, bias, b_dec = tensor(N, D, seed=1), tensor(N, D, seed=2), tensor(N, seed=3), tensor(D, seed=4)
    weights = {"encoder.weight": encoder, "encoder.bias": bias, "W_dec": decoder, "b_dec": b_dec}
    weights |= {"W_skip": tensor(D, D, seed=6)} if skip else {}
    save_file(weights, folder / "sae.safetensors")
    words = {"d_in": D, "num_latents": N, "k": 4, "signed": False, "transcode": True, "skip_connection": skip}
    (folder / "cfg.json").write_text(json.dumps(words))
    top = (X @ encoder.T + bias).relu().topk(4, dim=1)
    features = torch.zeros(len(X), N).scatter_(1, top.indices, top.values)
    made = features @ decoder + b_dec + (X @ weights["W_skip"].T if skip else 0)
    sae = load_sae(folder)
    torch.testing.assert_close(sae.encode(X), features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sae.reconstruct(X), made, atol=1e-5, rtol=1e-4)
    assert (sae.hook, sae.hook_out) == ("blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out") and sae.is_transcoder


def test_gemma_scope_is_opened(tmp_path):
    folder = tmp_path / "gemma-scope-2b-pt-mlp" / "layer_5" / "width_16k" / "average_l0_71"
    folder.mkdir(parents=True)
    weights = {"W_enc": tensor(D, N, seed=1), "W_dec": tensor(N, D, seed=2), "b_enc": tensor(N, seed=3)}
    weights |= {"b_dec": tensor(D, seed=4), "threshold": tensor(N, seed=5).abs()}
    np.savez(folder / "params.npz", **{name: value.numpy() for name, value in weights.items()})
    sae = load_sae(folder)
    pre = X @ weights["W_enc"] + weights["b_enc"]
    features = (pre > weights["threshold"]) * pre.relu()
    torch.testing.assert_close(sae.encode(X), features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sae.reconstruct(X), features @ weights["W_dec"] + weights["b_dec"], atol=1e-5, rtol=1e-4)
    assert sae.hook == "blocks.5.hook_mlp_out" and load_sae(folder, hook="blocks.1.hook_in").hook == "blocks.1.hook_in"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("sae.pkl.gz", "an sae-lens file of before version 3"),
        ("batch-0.jsonl.gz", "a Neuronpedia export"),
    ],
)
def test_known_formats_that_are_not_read_are_named(tmp_path, file, words):
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(UserError, match=f"{file} is {words}, which is not read; convert it with sae-lens' save_model"):
        load_sae(tmp_path)


def test_an_old_file_of_sae_lens_is_opened_where_it_holds_plain_values(tmp_path):
    encoder, decoder, bias, b_dec = tensor(D, N, seed=1), tensor(N, D, seed=2), tensor(N, seed=3), tensor(D, seed=4)
    state = {"W_enc": encoder, "W_dec": decoder, "b_enc": bias, "b_dec": b_dec, "scaling_factor": torch.ones(N)}
    words = {"hook_point": "blocks.2.hook_resid_pre", "model_name": "gpt2-small", "d_in": D, "d_sae": N}
    torch.save({"cfg": words, "state_dict": state}, tmp_path / "final_sparse_autoencoder_gpt2-small.pt")
    features = ((X - b_dec) @ encoder + bias).relu()
    for place in (tmp_path, tmp_path / "final_sparse_autoencoder_gpt2-small.pt"):
        sae = load_sae(place)
        torch.testing.assert_close(sae.encode(X), features, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(sae.reconstruct(X), features @ decoder + b_dec, atol=1e-5, rtol=1e-4)
        assert (sae.hook, sae.metadata["model_name"]) == ("blocks.2.hook_resid_pre", "gpt2-small")


class Runner:
    """Stands for the configuration class of an old sae-lens."""


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (
            {"cfg": Runner(), "state_dict": {}},
            "is an sae-lens file of before version 3 with a pickled object, which is",
        ),
        ({"weights": torch.zeros(2)}, "expected cfg and state_dict in .*; it holds neither; name a dictionary's file"),
    ],
)
def test_an_old_file_that_is_not_opened_is_named(tmp_path, held, text):
    torch.save(held, tmp_path / "sae.pt")
    with pytest.raises(UserError, match=text):
        load_sae(tmp_path)


def test_a_file_that_lacks_a_tensor_is_named(tmp_path):
    np.savez(tmp_path / "params.npz", W_enc=np.zeros((2, 3)))
    with pytest.raises(UserError, match=r"expected W_enc, b_enc, .* in .*params.npz; it lacks b_enc; copy it again"):
        load_sae(tmp_path)
