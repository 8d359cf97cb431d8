"""Models and stand-ins for their MLPs of which the statements on replacement are untrue, or true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from eval.claims import Claim
from llm_codes.corpus import load_corpus
from llm_codes.lenses.replacement import study
from llm_codes.lenses.replacement.claims import claims_of
from llm_codes.lenses.replacement.outputs import SHUFFLED, TRANSCODERS, Write
from llm_codes.lenses.replacement.rows import ALL_LAYERS, ReplacementResults, UntrainedReplacement
from llm_codes.models import Model, load_model, untrained_like
from tests.claims_meta.rows import Material, Row
from tests.llm_codes.lenses.graphs.conftest import random_transcoders

Instead = Callable[[Model, dict[str, list[Write]]], Sequence[Write]]
"""What stands where transcoders would."""


def measured(model: Model, material: Material, instead: Instead) -> ReplacementResults:
    """The study, with random transcoders or what stands where they would."""
    corpus = load_corpus(str(material.texts), model.tokenizer, context=32, n_tokens=3000, split="all")
    usual = study.writers

    def writers(model: Model, *more: Any) -> dict[str, list[Write]]:
        made = usual(model, *more)
        return {**made, TRANSCODERS: list(instead(model, made))}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "writers", writers)
        return study.replacement_model(model, corpus, corpus, random_transcoders(model, 96))


def with_large_weights(model: Model) -> Model:
    """So large that its MLPs matter."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.bridge.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def judged(material: Material, instead: Instead) -> list[Claim]:
    """A model beside one of other weights, whose transcoders are random."""
    model = with_large_weights(load_model(material.model))
    control = measured(with_large_weights(untrained_like(model, 1)), material, at_random)
    rows = tuple(row for row in control.replacements if row.layer == ALL_LAYERS)
    found = replace(measured(model, material, instead), untrained=UntrainedReplacement({}, "", rows))
    return claims_of(found)


def at_random(model: Model, made: dict[str, list[Write]]) -> list[Write]:
    return made[TRANSCODERS]


def themselves(model: Model, made: dict[str, list[Write]]) -> list[Write]:
    """The MLPs: they lose nothing, and no linear map is one."""
    blocks = [model.bridge.blocks[layer].mlp.original_component for layer in range(model.n_layers)]
    return [lambda x, mlp=mlp: mlp(x) for mlp in blocks]


ROW = Row(
    {
        "untrained": lambda material: judged(material, at_random),
        "shuffled": lambda material: judged(material, lambda model, made: made[SHUFFLED]),
        "planted": lambda material: judged(material, themselves),
    },
)
