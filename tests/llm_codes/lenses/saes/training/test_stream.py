"""Activations that are there already: blocks of arrays, of memory maps, and a training run on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.configs.saes import TrainingOptions
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.study import train_on_activations
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.lenses.saes.training.stream import ArrayStream

OPTIONS = TrainingOptions(tokens=64 * 60, train_batch_size=64, block_windows=4, context=64, checkpoint_every=7)


def arrays(rows: int = 1000) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    features = (generator.random((rows, 30)) < 0.1) * generator.random((rows, 30))
    x = (features @ generator.standard_normal((30, 12))).astype(np.float32)
    return {"in": x, "out": np.maximum(x, 0)[:, :5]}


def test_a_block_is_a_function_of_its_number_and_rows_stay_together() -> None:
    made = arrays()
    stream = ArrayStream(made, rows=300, seed=3)
    assert stream.blocks_per_epoch == 3
    first, again = stream.block(4), ArrayStream(made, rows=300, seed=3).block(4)
    assert torch.equal(first["in"], again["in"]) and len(first["in"]) == 300
    assert torch.equal(first["out"], first["in"].relu()[:, :5])
    numbered = ArrayStream({"in": np.arange(1000.0)[:, None]}, rows=300, seed=3)
    seen = torch.cat([numbered.block(number)["in"] for number in range(3)])
    assert len(seen.unique()) == 900  # no row twice within an epoch


def test_memory_maps_and_tensors_give_what_arrays_give(tmp_path: Path) -> None:
    made = arrays()
    np.save(tmp_path / "x.npy", made["in"].astype(np.float16))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    tensor = torch.from_numpy(np.array(mapped))
    blocks = [ArrayStream({"in": one}, rows=200).block(1)["in"] for one in (mapped, tensor)]
    assert blocks[0].dtype == torch.float32 and torch.equal(blocks[0], blocks[1])


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (
            {"in": np.zeros((4, 2)), "out": np.zeros((5, 2))},
            "expected arrays of the same tokens; got rows in: 4, out: 5",
        ),
        ({"in": np.zeros(4)}, r"expected activations \[token width\] at in; got shape \(4,\); give one row a token"),
        ({"in": np.zeros((0, 3))}, r"expected activations \[token width\] at in; got shape \(0, 3\)"),
        ({}, "expected arrays of the same tokens; got rows none"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(made: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        ArrayStream(made)


def test_dictionaries_train_on_arrays_and_continue(tmp_path: Path) -> None:
    specs = [
        SAESpec("in", 12, 24, k=3),
        SAESpec("in", 12, 24, "jumprelu", target_l0=3),
        SAESpec("in", 12, 24, "transcoder", k=3, hook_out="out", d_out=5),
    ]
    words = {"model_name": "gpt2", "hook_head_index": None}
    folders = train_on_activations(arrays(), specs, tmp_path / "run", OPTIONS, provenance=words)
    topk, _, transcoder = (load_sae(folder) for folder in folders)
    assert (topk.hook, transcoder.hook_out, topk.metadata["model_name"]) == ("in", "out", "gpt2")
    saved = json.loads((folders[2] / "cfg.json").read_text("utf-8"))["metadata"]["saved"]
    assert saved["l0"] == pytest.approx(3, abs=0.2) and saved["fvu"] < 0.9
    again = train_on_activations(arrays(), specs, tmp_path / "run", OPTIONS, provenance=words)  # nothing left to do
    assert torch.equal(load_sae(again[0]).vectors, topk.vectors)


def test_too_few_rows_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"expected at least as many tokens in the corpus as features \(2000\); got 1000"
    ):
        train_on_activations(arrays(), [SAESpec("in", 12, 2000, k=3)], tmp_path, OPTIONS)
    with pytest.raises(UserError, match="expected at least one batch of 64 tokens; got 40; give more activations, or"):
        train_on_activations(arrays(40), [SAESpec("in", 12, 24, k=3)], tmp_path, OPTIONS)
    with pytest.raises(UserError, match="expected activations 13 wide at in; got 12; take the width of the site"):
        train_on_activations(arrays(), [SAESpec("in", 13, 24, k=3)], tmp_path, OPTIONS)
