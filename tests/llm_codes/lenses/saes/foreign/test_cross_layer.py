"""Cross-layer transcoders in circuit-tracer's files: read as its class computes, written and read back bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from eval.errors import UserError
from llm_codes.lenses.saes.cross_layer import CrossLayerTranscoder
from llm_codes.lenses.saes.foreign.cross_layer import is_cross_layer, read_cross_layer, write_cross_layer

L, N, D = 3, 20, 6


def random_cross_layer(n_layers: int, n_features: int, width: int, threshold: float = 0.0) -> CrossLayerTranscoder:
    """Every weight random; thresholds between half and once the number given."""
    generator = torch.Generator().manual_seed(5)

    def tensor(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.4

    return CrossLayerTranscoder(
        tensor(n_layers, n_features, width),
        tensor(n_layers, n_features),
        threshold * (0.5 + 0.5 * torch.rand(n_layers, n_features, generator=generator)),
        tuple(tensor(n_features, n_layers - layer, width) for layer in range(n_layers)),
        tensor(n_layers, width),
        tuple(f"blocks.{layer}.mlp.hook_in" for layer in range(n_layers)),
        tuple(f"blocks.{layer}.mlp.hook_out" for layer in range(n_layers)),
        {"model_name": "org/model", "saved": [{"l0": 1.5}]},
        "random",
    )


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_features_and_outputs_are_the_dense_sums(threshold: float) -> None:
    made = random_cross_layer(L, N, D, threshold)
    x = torch.randn(L, 15, D, generator=torch.Generator().manual_seed(1))
    own = [made.features(layer, rows) for layer, rows in enumerate(x)]
    for layer in range(L):
        scores = x[layer] @ made.encoder[layer].T + made.encoder_bias[layer]
        torch.testing.assert_close(own[layer], torch.where(scores > made.threshold[layer], scores, 0.0))
        out = made.decoder_bias[layer] + sum(own[i] @ made.decoders[i][:, layer - i] for i in range(layer + 1))
        torch.testing.assert_close(made.written(layer, own), out)
        seen = {hook: rows[None] for hook, rows in zip(made.hooks, x, strict=True)}
        torch.testing.assert_close(made.places()[layer].written_from(seen), out[None])


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path, threshold: float) -> None:
    made = random_cross_layer(L, N, D, threshold)
    write_cross_layer(made, tmp_path)
    found = read_cross_layer(tmp_path)
    for name, value in made.tensors().items():
        assert torch.equal(value, found.tensors()[name]), name
    assert (found.hooks, found.hooks_out, found.metadata) == (made.hooks, made.hooks_out, made.metadata)
    assert is_cross_layer(tmp_path) and found.name == tmp_path.name
    names = set(load_file(tmp_path / "W_enc_1.safetensors"))
    assert names == {"W_enc_1", "b_enc_1", "b_dec_1"} | ({"threshold_1"} if threshold else set())
    assert load_file(tmp_path / "W_dec_1.safetensors")["W_dec_1"].shape == (N, L - 1, D)
    assert (tmp_path / "config.yaml").read_text().splitlines() == [
        "model_kind: cross_layer_transcoder",
        "feature_input_hook: mlp.hook_in",
        "feature_output_hook: mlp.hook_out",
        'model_name: "org/model"',
    ]


def test_a_folder_of_circuit_tracer_says_its_hooks_in_the_configuration(tmp_path: Path) -> None:
    write_cross_layer(random_cross_layer(L, N, D), tmp_path)
    (tmp_path / "cross_layer.json").unlink()
    assert read_cross_layer(tmp_path).hooks == tuple(f"blocks.{layer}.mlp.hook_in" for layer in range(L))
    assert read_cross_layer(tmp_path).metadata == {"model_name": "org/model"}
    (tmp_path / "config.yaml").unlink()
    assert read_cross_layer(tmp_path).hooks == ("", "", "")


def test_what_it_cannot_be_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected W_enc_0.safetensors and so on in .*; got no cross-layer transcoder"):
        read_cross_layer(tmp_path)
    write_cross_layer(random_cross_layer(L, N, D), tmp_path)
    encoder, decoder = tmp_path / "W_enc_1.safetensors", tmp_path / "W_dec_1.safetensors"
    whole, vectors = load_file(encoder), load_file(decoder)
    save_file({name: value for name, value in whole.items() if name != "b_dec_1"}, encoder)
    with pytest.raises(UserError, match="expected b_dec_1 in .*; layer 1 lacks it; copy it again"):
        read_cross_layer(tmp_path)
    whole["b_enc_1"][4] = float("nan")
    save_file(whole, encoder)
    with pytest.raises(UserError, match=r"expected finite weights in .*; b_enc_1 has 1 NaN or infinite of 20; train"):
        read_cross_layer(tmp_path)
    save_file({"W_dec_1": vectors["W_dec_1"][:, :1].contiguous()}, decoder)
    with pytest.raises(
        UserError, match=r"W_dec_1 of shape \[20, 2, 6\] in .*, with 3 layers and 20 features 6 wide; got \[20, 1, 6\]"
    ):
        read_cross_layer(tmp_path)
    decoder.write_bytes(b"x")
    with pytest.raises(UserError, match=r"expected W_dec_1.safetensors in .*; it is damaged \("):
        read_cross_layer(tmp_path)
    decoder.unlink()
    with pytest.raises(UserError, match="expected W_dec_1.safetensors in .*; a layer of the cross-layer transcoder is"):
        read_cross_layer(tmp_path)
