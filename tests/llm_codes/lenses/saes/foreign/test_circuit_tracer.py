"""Per-layer transcoders in circuit-tracer's files: features and outputs are those of its class; a set opens as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from eval.errors import UserError
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.foreign.circuit_tracer import write_set
from llm_codes.lenses.saes.shipped import load_dictionary, shipped_transcoders
from llm_codes.models import load_model

D, N = 12, 40
HOOKS = "feature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\nmodel_name: org/model\n"


def tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.5


X = tensor(30, D, seed=9)


def state(threshold: bool = False, skip: bool = False) -> dict[str, Tensor]:
    made = {"W_enc": tensor(N, D, seed=1), "W_dec": tensor(N, D, seed=2)}
    made |= {"b_enc": tensor(N, seed=3), "b_dec": tensor(D, seed=4)}
    made |= {"activation_function.threshold": tensor(N, seed=5).abs()} if threshold else {}
    return made | ({"W_skip": tensor(D, D, seed=6)} if skip else {})


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("threshold", [False, True])
def test_a_layer_computes_what_circuit_tracers_class_computes(tmp_path: Path, threshold: bool, skip: bool) -> None:
    made = state(threshold, skip)
    save_file(made, tmp_path / "layer_3.safetensors")
    (tmp_path / "config.yaml").write_text(HOOKS)
    pre = X @ made["W_enc"].T + made["b_enc"]
    features = pre * (pre > made["activation_function.threshold"]) if threshold else pre.relu()
    out = features @ made["W_dec"] + made["b_dec"] + (X @ made["W_skip"].T if skip else 0)
    for place in (tmp_path / "layer_3.safetensors", tmp_path):  # the file, and the folder of one
        sae = load_sae(place)
        torch.testing.assert_close(sae.encode(X), features, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(sae.reconstruct(X), out, atol=1e-5, rtol=1e-4)
        assert (sae.hook, sae.hook_out) == ("blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out")
        assert sae.is_transcoder and sae.metadata["model_name"] == "org/model"


def test_a_set_opens_where_a_set_is_asked_for_and_is_named_where_one_is(tmp_path: Path) -> None:
    shipped = [load_sae(folder) for _, folder in sorted(shipped_transcoders().items())]
    write_set(shipped, tmp_path)
    assert "feature_input_hook: mlp.hook_in" in (tmp_path / "config.yaml").read_text()
    model = load_model("embedded")
    ours, theirs = open_transcoders(model), open_transcoders(model, tmp_path)
    x = tensor(20, 192)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.active(x), other.active(x))
    with pytest.raises(
        UserError, match="expected transcoders of layers 0 to 1 at one place; got blocks.1.mlp.hook_in to"
    ):
        write_set(shipped[1:3], tmp_path)
    with pytest.raises(
        UserError, match="expected transcoders of layers 0 to 0 at one place; got blocks.3.mlp.hook_out"
    ):
        write_set([load_dictionary("embedded", site="mlp_out", layer=3)], tmp_path)
    with pytest.raises(UserError, match="is circuit-tracer's set of 6 transcoders; name one file, e.g. .*layer_0"):
        load_sae(tmp_path)


def test_what_it_cannot_be_is_one_line(tmp_path: Path) -> None:
    made = state(threshold=True)
    file = tmp_path / "layer_0.safetensors"
    save_file(made | {"activation_function.threshold": -made["activation_function.threshold"]}, file)
    with pytest.raises(UserError, match="expected thresholds of at least 0 in .*layer_0.safetensors; got -"):
        load_sae(file)
    save_file({name: value for name, value in made.items() if name != "b_dec"}, file)
    with pytest.raises(UserError, match="expected W_enc, W_dec, b_enc, b_dec in .*; it lacks b_dec; copy it again"):
        load_sae(file)
    file.write_bytes(b"")
    with pytest.raises(UserError, match=r"expected layer_0.safetensors in .*; it is damaged \("):
        load_sae(file)
    (tmp_path / "words.txt").write_text("x")
    with pytest.raises(UserError, match="expected a dictionary's folder, a layer_N.safetensors of circuit-tracer or"):
        load_sae(tmp_path / "words.txt")
