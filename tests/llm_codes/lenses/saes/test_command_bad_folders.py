"""`sae eval` of what is no dictionary, half a one, another model's, or of another width: one line, before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm_codes.__main__ import main
from llm_codes.lenses.saes.shipped import SHIPPED


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return shutil.copytree(SHIPPED / "mlp_out", tmp_path / "good")


def no_folder(good: Path) -> Path:
    return good.parent / "nowhere"


def empty(good: Path) -> Path:
    (good.parent / "empty").mkdir()
    return good.parent / "empty"


def other_files(good: Path) -> Path:
    (empty(good) / "thesis.tex").write_text("x")
    return good.parent / "empty"


def without_weights(good: Path) -> Path:
    (good / "sae_weights.safetensors").unlink()
    return good


def cut_weights(good: Path) -> Path:
    file = good / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    return good


def cut_configuration(good: Path) -> Path:
    file = good / "cfg.json"
    file.write_text(file.read_text()[:40])
    return good


def a_tensor_short(good: Path) -> Path:
    file = good / "sae_weights.safetensors"
    save_file({name: value for name, value in load_file(file).items() if name != "b_dec"}, file)
    return good


def not_finite(good: Path) -> Path:
    file = good / "sae_weights.safetensors"
    weights = load_file(file)
    weights["W_dec"][3, 5] = torch.nan
    save_file(weights, file)
    return good


def other_weights(good: Path) -> Path:
    return _said(good, model_hash="0123456789abcdef")


def other_tokenizer(good: Path) -> Path:
    return _said(good, tokenizer_hash="0123456789abcdef")


def other_hook(good: Path) -> Path:
    return _said(good, hook_name="blocks.9.mlp.hook_out")


def cross_layer(good: Path) -> Path:
    folder = empty(good)
    (folder / "W_enc_0.safetensors").write_bytes(b"")
    return folder


def other_width(good: Path) -> Path:
    """Of a site twice as wide, as its configuration says."""
    file = good / "sae_weights.safetensors"
    weights = load_file(file)
    weights |= {"W_enc": weights["W_enc"].repeat(2, 1), "W_dec": weights["W_dec"].repeat(1, 2)}
    save_file(weights | {"b_dec": weights["b_dec"].repeat(2)}, file)
    words = json.loads((good / "cfg.json").read_text())
    (good / "cfg.json").write_text(json.dumps(words | {"d_in": 384}))
    return good


def _said(good: Path, **words: str) -> Path:
    config = json.loads((good / "cfg.json").read_text())
    config["metadata"] |= words
    (good / "cfg.json").write_text(json.dumps(config))
    return good


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (no_folder, "expected a folder with cfg.json and sae_weights.safetensors; got"),
        (empty, "it holds nothing; train an SAE into it first"),
        (other_files, "it holds thesis.tex; train an SAE into it first"),
        (without_weights, "expected sae_weights.safetensors in"),
        (cut_weights, "it is damaged"),
        (cut_configuration, "cfg.json; it is damaged"),
        (a_tensor_short, "it is damaged"),
        (not_finite, "expected finite weights in good; W_dec has 1 NaN or infinite of 294912; train or copy it again"),
        (other_weights, "SAE good was trained on other weights (model 'embedded', hash 0123456789abcdef); got"),
        (other_tokenizer, "SAE good was trained with another tokenizer (model 'embedded'), got"),
        (other_hook, "blocks.9.mlp.hook_out"),
        (other_width, "sae.d_in=384 but activations at blocks.3.mlp.hook_out are 192 wide; was this SAE trained on"),
        (cross_layer, "is a cross-layer transcoder, whose features write to several; only `sae replacement` reads it"),
    ],
)
def test_a_folder_that_cannot_be_evaluated(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, broken, text: str
) -> None:
    monkeypatch.setattr("llm_codes.lenses.saes.command._evaluated", lambda *_: pytest.fail("work was done"))
    sae = str(broken(good))
    assert main(["sae", "eval", "--sae", sae, "--tokens", "300", "--threads", "1", "--out", str(tmp_path / "run")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and text in errors[0]
