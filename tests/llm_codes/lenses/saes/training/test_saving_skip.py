"""Skip and JumpReLU transcoders, from arrays to a folder: sae-lens' own class and ours compute what training did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eval.errors import UserError
from eval.torchvision_operators import declare_missing_operators
from llm_codes.configs.saes import DictionaryOptions, TrainingOptions
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.study import train_on_activations
from llm_codes.lenses.saes.training.specification import CrossLayerSpec, SAESpec

D, OUT, N = 12, 5, 24


def rows(count: int = 2048) -> dict[str, torch.Tensor]:
    """An output that is a linear map of the input and a few features of it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, D, generator=generator) + 1
    bend = (x @ torch.randn(D, 3, generator=generator)).relu() @ torch.randn(3, OUT, generator=generator)
    return {"in": 3 * x, "out": 0.5 * (x @ torch.randn(D, OUT, generator=generator) + 0.3 * bend + 2)}


def spec(skip: bool) -> SAESpec:
    return SAESpec("in", D, N, "transcoder", k=3, hook_out="out", d_out=OUT, learning_rate=1e-2, skip=skip)


OPTIONS = TrainingOptions(tokens=64 * 200, train_batch_size=64, checkpoint_every=50, log_every=50, block_windows=2)


def test_what_is_saved_is_what_was_trained_in_sae_lens_class_and_ours(tmp_path: Path) -> None:
    declare_missing_operators()
    from sae_lens import SAE

    data = rows()
    x, y = data["in"], data["out"]
    found = {}
    for skip in (True, False):
        (folder,) = train_on_activations(data, [spec(skip)], tmp_path / str(skip), OPTIONS)
        ours, theirs = load_sae(folder), SAE.load_from_disk(folder)
        torch.testing.assert_close(ours.reconstruct(x), theirs(x).detach(), atol=1e-5, rtol=1e-4)
        said = ours.metadata["saved"]
        found[skip] = float((ours.reconstruct(x) - y).square().sum() / (y - y.mean(0)).square().sum())
        assert found[skip] == pytest.approx(said["fvu"], rel=0.05) and abs(said["l0"] - 3) < 0.15
    assert found[True] < 0.5 * found[False], found
    made = load_sae(tmp_path / "True")
    assert made.sae.cfg.architecture() == "jumprelu_skip_transcoder" and made.sae.W_skip.shape == (OUT, D)
    hand = made.encode(x) @ made.vectors + made.offset + x @ made.sae.W_skip.detach().T
    torch.testing.assert_close(hand, made.reconstruct(x), atol=1e-4, rtol=1e-4)
    assert made.metadata["neural_codes"]["skip"] is True


def test_what_has_no_skip_map_is_refused() -> None:
    with pytest.raises(UserError, match="expected --skip with --architecture transcoder; got topk; leave it out"):
        SAESpec("in", D, N, skip=True)
    with pytest.raises(UserError, match="one a layer; got it with --architecture topk; leave one out"):
        DictionaryOptions(skip=True)
    with pytest.raises(UserError, match="one a layer; got it with --cross-layer; leave one out"):
        DictionaryOptions(skip=True, cross_layer=True, architecture="transcoder", sites_out=("mlp_out",))
    with pytest.raises(UserError, match="expected a cross-layer transcoder without skip maps"):
        CrossLayerSpec((spec(True),))


def test_a_jumprelu_transcoder_per_layer_is_saved_and_read_again(tmp_path: Path) -> None:
    """Two layers on one pass: folders of sae-lens, at the L0 asked for, that write what was trained."""
    declare_missing_operators()
    from sae_lens import SAE

    data = {f"{name}{layer}": value for layer in (0, 1) for name, value in rows().items()}
    data["out1"] = -2 * data["out1"] + 1
    jumps = [
        SAESpec(f"in{n}", D, N, "jumprelu-transcoder", hook_out=f"out{n}", d_out=OUT, target_l0=4, learning_rate=1e-2)
        for n in (0, 1)
    ]
    folders = train_on_activations(data, jumps, tmp_path, OPTIONS)
    assert [folder.name for folder in folders] == [f"in{n}-jumprelu-transcoder-{N}" for n in (0, 1)]
    for n, folder in enumerate(folders):
        ours, theirs, x, y = load_sae(folder), SAE.load_from_disk(folder), data[f"in{n}"], data[f"out{n}"]
        assert ours.sae.cfg.architecture() == "jumprelu_transcoder" and ours.is_transcoder
        assert (ours.hook, ours.hook_out) == (f"in{n}", f"out{n}")
        torch.testing.assert_close(ours.reconstruct(x), theirs.decode(theirs.encode(x)).detach(), atol=1e-5, rtol=1e-4)
        fvu = float((ours.reconstruct(x) - y).square().sum() / (y - y.mean(0)).square().sum())
        said = ours.metadata["saved"]
        assert fvu == pytest.approx(said["fvu"], rel=0.05) and fvu < 0.5, fvu
        assert abs(said["l0"] / 4 - 1) < 0.05 and ours.metadata["neural_codes"]["target_l0"] == 4
        torch.testing.assert_close(ours.vectors.norm(dim=1), torch.ones(N))


def test_what_a_jumprelu_transcoder_cannot_be_is_refused() -> None:
    words: Any = {"hook_out": "out", "d_out": OUT, "target_l0": 4, "k": 4}
    with pytest.raises(
        UserError, match="expected an untied jumprelu-transcoder; got tied=True; a transcoder reads one"
    ):
        SAESpec("in", D, N, "jumprelu-transcoder", tied=True, **words)
    with pytest.raises(UserError, match="expected --skip with --architecture transcoder; got jumprelu-transcoder"):
        SAESpec("in", D, N, "jumprelu-transcoder", skip=True, **words)
    with pytest.raises(UserError, match="expected --sites-out exactly for a transcoder; got --architecture jumprelu-t"):
        DictionaryOptions(architecture="jumprelu-transcoder")
    with pytest.raises(UserError, match="expected --cross-layer with --architecture transcoder; got jumprelu-transc"):
        DictionaryOptions(architecture="jumprelu-transcoder", cross_layer=True, sites_out=("mlp_out",))
    with pytest.raises(UserError, match="expected transcoders of one width at different layers; got in to out"):
        CrossLayerSpec((SAESpec("in", D, N, "jumprelu-transcoder", **words),))
