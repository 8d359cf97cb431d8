"""Path patching against its definition in a model written by hand, and on a model with one path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.configs.patching import PatchingOptions
from llm_codes.lenses.patching.activations import HEADS
from llm_codes.lenses.patching.pairs import Pair
from llm_codes.lenses.patching.paths import PATHS, check_heads, check_stream, path_hooks, path_nodes
from llm_codes.lenses.patching.places import places_of
from llm_codes.lenses.patching.rows import PatchedGrid
from llm_codes.lenses.patching.study import patched_pair
from llm_codes.lenses.patching.swaps import recorded
from llm_codes.models import Model, load_model
from tests.llm_codes.lenses.graphs.conftest import gpt2_like, llama_like
from tests.llm_codes.lenses.patching.two_layers import TwoLayers

__all__ = ["gpt2_like", "llama_like"]
TARGET, FOIL = 9, 12


def measured(model: Model, pair: Pair, paths: str) -> tuple[dict[str, PatchedGrid], Pair]:
    """The tables of a pair, clean and corrupted prompt in the order that the model has them in."""
    ends = model.logits(torch.tensor([pair.clean, pair.corrupted]))[:, -1].detach()
    if float((ends[0] - ends[1])[TARGET] - (ends[0] - ends[1])[FOIL]) < 0:
        pair = Pair("", pair.corrupted, pair.clean, TARGET, FOIL, 0)
    options = PatchingOptions(least_drop=1e-9, paths=paths, features=0)
    found = patched_pair(model, pair, None, (), places_of([pair]), options)
    return {grid.part: grid for grid in found.grids}, pair


@pytest.mark.parametrize("paths", ["branches", "heads"])
def test_paths_are_those_of_two_forward_passes_with_everything_else_frozen(gpt2_like: Model, paths: str) -> None:
    grids, pair = measured(gpt2_like, Pair("", (0, 17, 45, 300, 8), (0, 17, 46, 301, 8), TARGET, FOIL, 0), paths)
    hand = TwoLayers(gpt2_like)
    (clean, wrote, _), (corrupted, other, _) = hand.run(pair.clean), hand.run(pair.corrupted)
    ends = [float(one[TARGET] - one[FOIL]) for one in (clean, corrupted)]
    nodes = path_nodes(gpt2_like, paths == "heads")
    assert (len(nodes), nodes[0].name, nodes[-1].name) == (
        (8, "tokens", "logits") if paths == "heads" else (6, "tokens", "logits")
    )
    frozen = {name: value for name, value in wrote.items() if not name.startswith("stream")}
    if paths == "heads":
        frozen = {name: value for name, value in frozen.items() if not name.startswith("attention")}
    for up, sender in enumerate(nodes[:-1]):
        for across, receiver in enumerate(nodes[1:]):
            found = grids[PATHS].restored[up][across]
            if receiver.order <= sender.order:
                assert found is None
                continue
            had = hand.run(pair.clean, {**frozen, sender.name: other[sender.name]})[2][receiver.name]
            logits = hand.run(pair.clean, reads={receiver.name: had})[0]
            expected = 1 - (logits[TARGET] - logits[FOIL] - ends[1]) / (ends[0] - ends[1])
            assert found == pytest.approx(expected, abs=1e-8), (sender.name, receiver.name)


def one_path(folder: Path) -> Model:
    """tokens -> head 0.1 -> MLP 1 -> logits and nothing else. Head 0.1 moves what tokens are (dimensions 0 to 15) to 16
    to 31, evenly from all positions; MLP 1 reads these and writes 32 to 47, where alone target and foil differ. All
    directions sum to 0 and positions are large, so that norms hardly change."""
    model = load_model(folder, dtype="float64")
    network: Any = model.bridge.original_model
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        values = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return values - values.mean(-1, keepdim=True)

    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".ln_" not in name:
                parameter.zero_()
        body = network.transformer
        body.wte.weight[:, :16] = random(320, 16)
        body.wpe.weight[:, 48:56], body.wpe.weight[:, 56:] = 30.0, -30.0
        says = random(16)
        body.wte.weight[[TARGET, FOIL], :16] = 0
        body.wte.weight[TARGET, 32:48], body.wte.weight[FOIL, 32:48] = says, -says
        reads = body.wte.weight[45, :16] - body.wte.weight[46, :16]
        lane = torch.arange(16)
        body.h[0].attn.c_attn.weight[lane, 128 + 32 + lane] = 20.0  # values of head 1
        body.h[0].attn.c_proj.weight[32 + lane, 16 + lane] = 20.0
        body.h[1].mlp.c_fc.weight[16:32, 0] = reads
        body.h[1].mlp.c_proj.weight[0, 32:48] = says
    return model


def test_of_a_model_with_one_path_only_that_path_matters(tiny_model_folder: Path) -> None:
    model = one_path(tiny_model_folder)
    grids, _ = measured(model, Pair("", (0, 17, 45, 300, 8), (0, 17, 46, 300, 8), TARGET, FOIL, 0), "heads")
    grid = grids[PATHS]
    carried = {
        f"{sender} -> {receiver}": value
        for sender, row in zip(grid.up, grid.restored, strict=True)
        for receiver, value in zip(grid.across, row, strict=True)
        if value is not None
    }
    on = {"tokens -> head 0.1", "head 0.1 -> MLP 1", "MLP 1 -> logits"}
    assert {name for name, value in carried.items() if abs(value) > 0.05} == on
    assert all(carried[name] == pytest.approx(1, abs=0.05) for name in on)
    heads = np.array(grids[HEADS].restored)
    assert heads[0, 1] == pytest.approx(1, abs=0.05) and np.abs(np.delete(heads.flatten(), 1)).max() < 0.05


def test_grouped_heads_add_up_and_other_blocks_are_refused(llama_like: Model, gpt2_like: Model) -> None:
    pair = Pair("", (0, 17, 45, 300, 8), (0, 17, 46, 300, 8), TARGET, FOIL, 0)
    runs = [recorded(llama_like, one, path_hooks(llama_like)) for one in (pair.clean, pair.corrupted)]
    check_stream(llama_like, runs[0])
    check_heads(llama_like, runs[0], runs[1])
    wrong = recorded(gpt2_like, pair.clean, path_hooks(gpt2_like))
    wrong.activations["blocks.1.ln2.hook_in"] += 1  # as where the MLP does not read what attention wrote
    with pytest.raises(
        UserError, match=r"expected blocks that add attention, then the MLP, to one stream; .*--paths none"
    ):
        check_stream(gpt2_like, wrong)
    half = recorded(gpt2_like, pair.corrupted, path_hooks(gpt2_like))
    half.activations["blocks.0.attn.hook_out"] *= 2  # as where attention's output is normed
    with pytest.raises(UserError, match="expected heads that add up to attention in layer 0 of .*--paths branches"):
        check_heads(gpt2_like, recorded(gpt2_like, pair.clean, path_hooks(gpt2_like)), half)
