"""A model and transcoders that nothing was trained into, under faithfulness curves; and features that do it all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from eval.claims import Claim
from llm_codes.configs.faithfulness import FaithfulnessOptions
from llm_codes.lenses.faithfulness.claims import claims_of
from llm_codes.lenses.faithfulness.gates import FEATURES, NEURONS, SHUFFLED, shuffled
from llm_codes.lenses.faithfulness.prompts import KINDS, Prompt
from llm_codes.lenses.faithfulness.rows import Curve
from llm_codes.lenses.faithfulness.study import all_curves
from llm_codes.lenses.faithfulness.together import curves_together
from llm_codes.lenses.faithfulness.untrained import own_targets
from llm_codes.lenses.graphs.transcoders import open_transcoders
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.models import Model, load_model, untrained_like
from tests.claims_meta.rows import Material, Row
from tests.llm_codes.lenses.graphs.conftest import random_transcoders

PROMPTS, LENGTH, WIDTH, VOCABULARY = 20, 6, 96, 320
TRUE, STEEP = 4, 30.0
OPTIONS = FaithfulnessOptions(per_kind=1, steps=2, graph_features=60)


def windows_of(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, VOCABULARY, (count, LENGTH + 4))


def any_places() -> list[Prompt]:
    """Places of random text, with any two tokens."""
    words = windows_of(PROMPTS).tolist()
    return [
        Prompt(KINDS[n % len(KINDS)], (0, *one[1:LENGTH]), one[LENGTH], one[LENGTH + 1], n)
        for n, one in enumerate(words)
    ]


def sure_places(model: Model) -> list[Prompt]:
    """The places of many at which the model is surest of a token, with that and the next one."""
    words = torch.as_tensor(windows_of(20 * PROMPTS))[:, :LENGTH]
    words[:, 0] = 0
    with torch.no_grad():
        best = model.logits(words)[:, -1].topk(2)
    surest = (best.values[:, 0] - best.values[:, 1]).topk(PROMPTS).indices.tolist()
    return [
        Prompt(KINDS[n % len(KINDS)], tuple(words[one].tolist()), *best.indices[one].tolist(), n)
        for n, one in enumerate(surest)
    ]


def curves_of(
    model: Model,
    folders: Sequence[SAEFolder],
    prompts: Sequence[Prompt],
    *,
    other_decoders: bool = False,
    beside: bool = True,
) -> list[Curve]:
    transcoders = open_transcoders(model, folders)
    used = shuffled(tuple(transcoders)) if other_decoders else transcoders
    windows = windows_of(PROMPTS + 2)
    found = all_curves(
        model, used, prompts, torch.as_tensor(windows), list(range(len(windows))), OPTIONS, beside=beside
    )
    return curves_together(found, prompts, {FEATURES: WIDTH, SHUFFLED: WIDTH, NEURONS: 256})


@cache
def control_of(folder: Path) -> list[Curve]:
    """Other fresh weights, beside every object."""
    fresh = untrained_like(load_model(folder, dtype="float64"), 1)
    return curves_of(fresh, random_transcoders(fresh, WIDTH), own_targets(fresh, any_places()), beside=False)


def judged(material: Material, *, other_decoders: bool) -> list[Claim]:
    model = load_model(material.model, dtype="float64")
    found = curves_of(model, random_transcoders(model, WIDTH), any_places(), other_decoders=other_decoders)
    return claims_of(found, control_of(material.model))


def planted_weights(model: Model) -> list[SAEFolder]:
    """MLPs of four rectified features, each the work of 64 neurons alike, and the transcoders that hold just those.

    GELU(k z) / k is the rectifier of z for a large k. Each feature writes, large, what one token reads.
    """
    generator = torch.Generator().manual_seed(0)
    folders = random_transcoders(model, WIDTH)
    rows = model.bridge.original_model.lm_head.weight.detach()
    for layer, folder in enumerate(folders):
        reads = torch.randn(64, TRUE, generator=generator, dtype=torch.float64) / 8
        tokens = torch.randperm(VOCABULARY, generator=generator)[:TRUE]
        writes = 3 * rows[tokens] / rows[tokens].norm(dim=1, keepdim=True)
        mlp = model.bridge.original_model.transformer.h[layer].mlp
        copies = 256 // TRUE
        with torch.no_grad():
            mlp.c_fc.weight.copy_(STEEP * reads.repeat_interleave(copies, 1))
            mlp.c_proj.weight.copy_(writes.repeat_interleave(copies, 0) / copies / STEEP)
            for bias in (mlp.c_fc.bias, mlp.c_proj.bias, folder.sae.b_enc, folder.sae.b_dec):
                bias.zero_()
            folder.sae.W_enc.zero_()[:, :TRUE] = reads
            folder.sae.b_enc[TRUE:] = -1.0
            folder.sae.W_dec[:TRUE] = writes
    return folders


def planted(material: Material) -> list[Claim]:
    model = load_model(material.model, dtype="float64")
    folders = planted_weights(model)
    return claims_of(curves_of(model, folders, sure_places(model)), control_of(material.model))


ROW = Row(
    {
        "untrained": lambda material: judged(material, other_decoders=False),
        "shuffled": lambda material: judged(material, other_decoders=True),
        "planted": planted,
    },
    unplanted={
        "errors stay": "with errors kept any dictionary is the model once all its active features are: where few are "
        "active, a few shuffled ones do as much",
        "ranked by graph": "the graph ranks by all probable tokens, of which a network this small has many: no planted "
        "one is known that it ranks by two",
    },
)
