"""The untrained network is asked the same places, by its own two most probable tokens."""

from __future__ import annotations

from pathlib import Path

import torch

from llm_codes.lenses.faithfulness.prompts import Prompt
from llm_codes.lenses.faithfulness.rows import ALL_KINDS, METRICS
from llm_codes.lenses.faithfulness.untrained import own_targets, untrained_curves
from llm_codes.lenses.graphs.transcoders import UntrainedModel, open_transcoders
from llm_codes.models import load_model
from tests.llm_codes.lenses.faithfulness.test_claims import curve
from tests.llm_codes.lenses.graphs.conftest import random_transcoders


def test_its_own_tokens_and_the_curves_over_all_prompts(tiny_model_folder: Path) -> None:
    model = load_model(tiny_model_folder, dtype="float64", untrained=True)
    prompts = [Prompt("number", (0, 5, 6, 7), 1, 2, 0)]
    asked = own_targets(model, prompts)
    logits = model.logits(torch.tensor([prompts[0].tokens]))[0, -1]
    assert (asked[0].target, asked[0].foil) == tuple(logits.topk(2).indices.tolist())
    assert asked[0].tokens == prompts[0].tokens and asked[0].document == 0

    found = [curve("features", "stay", "graph", 0.5, 10)]
    other = [one.__class__(**{**vars(found[0]), "metric": METRICS[1]}) for one in found]
    opened = UntrainedModel(model, open_transcoders(model, random_transcoders(model, 8)))
    given: list[object] = []
    kept = untrained_curves(opened, prompts, {"model": "a"}, lambda *all_: given.extend(all_) or [*found, *other])
    assert kept is not None and [(one.prompts, one.metric) for one in kept.curves] == [(ALL_KINDS, METRICS[0])]
    assert given[0] is model and given[2] == asked and kept.transcoders == opened.sha256
    assert untrained_curves(None, prompts, {"model": "a"}, lambda *all_: []) is None, "nothing ships for that"
