"""Activation patching against TransformerLens' own functions, and against a model written by hand."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from torch import Tensor

from llm_codes.configs.patching import PatchingOptions
from llm_codes.lenses.patching.activations import HEADS, SITES
from llm_codes.lenses.patching.pairs import Pair
from llm_codes.lenses.patching.places import places_of
from llm_codes.lenses.patching.rows import PatchedPair, Values
from llm_codes.lenses.patching.study import patched_pair
from llm_codes.models import Model, load_model
from tests.llm_codes.lenses.graphs.conftest import gpt2_like
from tests.llm_codes.lenses.patching.two_layers import TwoLayers

__all__ = ["gpt2_like"]
EASY = PatchingOptions(least_drop=1e-9, paths="none", features=0)


def table(found: PatchedPair, part: str) -> Values:
    return next(grid.restored for grid in found.grids if grid.part == part)


def test_the_numbers_are_those_of_transformer_lens() -> None:
    from transformer_lens import patching

    model = load_model("embedded", dtype="float64")
    clean = (0, *model.encode(" the United"))
    pair = Pair("", clean, (*clean[:-2], model.encode(" whole")[0], clean[-1]), 5, 6, 0)
    logits = model.logits(torch.tensor([pair.clean, pair.corrupted]))[:, -1].detach()
    target, foil = int((logits[0] - logits[1]).argmax()), int((logits[0] - logits[1]).argmin())
    pair = Pair("", pair.clean, pair.corrupted, target, foil, 0)
    found = patched_pair(model, pair, None, (), places_of([pair]), EASY)

    def metric(logits: Tensor) -> Tensor:
        value = logits[0, -1, target] - logits[0, -1, foil]
        return (value - found.corrupted) / (found.clean - found.corrupted)

    theirs = {
        "resid_pre": patching.get_act_patch_resid_pre,
        "attn_out": patching.get_act_patch_attn_out,
        "mlp_out": patching.get_act_patch_mlp_out,
        HEADS: patching.get_act_patch_attn_head_out_all_pos,
    }
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        cache = model.bridge.run_with_cache(torch.tensor([pair.clean]))[1]
        for part, function in theirs.items():
            expected = function(model.bridge, torch.tensor([pair.corrupted]), cache, metric)
            assert np.allclose(np.array(table(found, part)), expected.numpy(), atol=1e-5), part


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair("", (0, 17, 45, 300, 8), (0, 17, 46, 300, 8), 9, 12, 0)


def test_the_numbers_are_those_of_a_model_written_by_hand(gpt2_like: Model, pair: Pair) -> None:
    hand = TwoLayers(gpt2_like)
    (clean, wrote, _), (corrupted, own, _) = hand.run(pair.clean), hand.run(pair.corrupted)
    ends = [float(one[9] - one[12]) for one in (clean, corrupted)]
    if ends[0] < ends[1]:  # which prompt is called clean is open here
        pair = Pair("", pair.corrupted, pair.clean, 9, 12, 0)
        wrote, own, ends = own, wrote, ends[::-1]
    found = patched_pair(gpt2_like, pair, None, (), places_of([pair]), EASY)
    assert np.allclose([found.clean, found.corrupted], ends, atol=1e-9)

    def restored(writes: dict[str, np.ndarray]) -> float:
        logits = hand.run(pair.corrupted, writes)[0]
        return float((logits[9] - logits[12] - ends[1]) / (ends[0] - ends[1]))

    names = dict(zip(SITES, ("stream", "attention", "MLP"), strict=True))
    for part, name in names.items():
        for layer in range(2):
            for position in range(5):
                value = own[f"{name} {layer}"].copy()
                value[position] = wrote[f"{name} {layer}"][position]
                assert table(found, part)[layer][position] == pytest.approx(
                    restored({f"{name} {layer}": value}), abs=1e-8
                )
    for layer in range(2):
        for head in range(2):
            expected = restored({f"head {layer}.{head}": wrote[f"head {layer}.{head}"]})
            assert table(found, HEADS)[layer][head] == pytest.approx(expected, abs=1e-8)


def test_the_null_takes_the_other_pairs_activation_from_its_own_place(gpt2_like: Model) -> None:
    first = Pair("", (0, 17, 45, 300, 8), (0, 17, 46, 300, 8), 9, 12, 0)
    other = Pair("", (0, 30, 31, 32, 33, 34), (0, 35, 31, 32, 33, 34), 9, 12, 1)
    settings = PatchingOptions(least_drop=1e-9, paths="none", features=0)
    ends = gpt2_like.logits(torch.tensor([first.clean, first.corrupted]))[:, -1].detach()
    if float((ends[0] - ends[1])[9] - (ends[0] - ends[1])[12]) < 0:
        first = Pair("", first.corrupted, first.clean, 9, 12, 0)
    places = places_of([first, other])
    found = patched_pair(gpt2_like, first, other, (), places, settings)
    hand = TwoLayers(gpt2_like)
    theirs, own = hand.run(other.clean)[1], hand.run(first.corrupted)[1]
    value = own["attention 1"].copy()
    value[-1] = theirs["attention 1"][-1]
    logits = hand.run(first.corrupted, {"attention 1": value})[0]
    expected = (logits[9] - logits[12] - found.corrupted) / (found.clean - found.corrupted)
    grid = next(grid for grid in found.grids if grid.part == "attn_out")
    assert grid.other_pair[1][places.index("last token")] == pytest.approx(expected, abs=1e-8)
    value = own["head 0.1"].copy()
    value[1:] = theirs["head 0.1"][2:]
    logits = hand.run(first.corrupted, {"head 0.1": value})[0]
    expected = (logits[9] - logits[12] - found.corrupted) / (found.clean - found.corrupted)
    assert next(grid for grid in found.grids if grid.part == HEADS).other_pair[0][1] == pytest.approx(
        expected, abs=1e-8
    )
