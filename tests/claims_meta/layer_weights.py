"""Models and weights of which the statements on connectors between layers are untrue, or true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from eval.claims import Claim
from eval.measures.connectors.pursuit import Moments
from llm_codes.corpus import load_corpus
from llm_codes.lenses.weights import fitted, study
from llm_codes.lenses.weights.claims import claims_of
from llm_codes.lenses.weights.fitting import Fits
from llm_codes.lenses.weights.screening import Candidates
from llm_codes.lenses.weights.virtual import VirtualWeights
from llm_codes.models import load_model
from tests.claims_meta.rows import Material, Row
from tests.llm_codes.lenses.graphs.conftest import random_transcoders

FAINT = 0.01


def judged(material: Material, change: str = "") -> list[Claim]:
    """Random transcoders of a small model; with `shuffled`, what the fit is told of a target is another's; with
    `planted`, the rival's virtual weights are too small by far and the text that is fitted follows the true ones."""
    model = load_model(str(material.model))
    corpus = load_corpus(str(material.texts), model.tokenizer, context=32, n_tokens=6000, split="all")
    transcoders = random_transcoders(model, 96)
    for folder in transcoders if change == "planted" else ():
        folder.sae.W_dec.data *= FAINT  # small against the stream, so that the true weights are what happens
    usual, moments, screen = fitted.virtual_weights, fitted.candidate_moments, fitted.screen
    seen: list[Candidates] = []

    def weaker(*arguments: Any) -> VirtualWeights:
        found = usual(*arguments)
        return replace(found, read=FAINT * found.read) if change == "planted" else found

    def noted(*arguments: Any, **more: Any) -> Candidates:
        seen.append(screen(*arguments, **more))
        return seen[-1]

    def others(*arguments: Any) -> Fits:
        found = moments(*arguments)
        told = found.preactivation
        if change == "shuffled":
            told = replace(told, cross=told.cross[torch.arange(len(told.cross)).roll(1)])
        if change == "planted":
            true = seen[-1].virtual.double() / FAINT
            cross = torch.einsum("oij,oj->oi", told.gram, true)
            told = Moments(told.gram, cross, (cross * true).sum(1))
        return replace(found, preactivation=told)

    with pytest.MonkeyPatch.context() as patch:
        for name, instead in (("virtual_weights", weaker), ("candidate_moments", others), ("screen", noted)):
            patch.setattr(fitted, name, instead)
        sizes = {"targets": 30, "candidates": 24, "edges_per_feature": 24, "windows_tested": 40, "per_window": 4}
        found = study.feature_weights(model, corpus, corpus, transcoders, **sizes)
    return claims_of(found.agreement)


ROW = Row(
    {
        "untrained": judged,
        "shuffled": lambda material: judged(material, "shuffled"),
        "planted": lambda material: judged(material, "planted"),
    },
)
