"""Skip transcoders, from arrays to a folder: sae-lens' own class and ours compute what training did."""

from __future__ import annotations

from pathlib import Path

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
