"""Planted circuits: an OR of two inputs is read as such over its own parents, and not over those of another output."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from eval.measures.connectors.connector import Connector
from eval.measures.dictionaries.feature_rows import FeatureRows
from llm_codes.lenses.circuits.claims import _form_claim
from llm_codes.lenses.circuits.found import _counts
from llm_codes.lenses.circuits.reading import named_form, read_logic
from llm_codes.lenses.circuits.rows import LogicForms, UntrainedEvaluation

N_OUTPUTS, N_TOKENS, N_DOCUMENTS = 24, 4000, 40


def chain(planted: bool, seed: int = 0) -> tuple[Connector, Any]:
    """`N_OUTPUTS` outputs, each an OR of two inputs of its own; else the outputs fire at random, as often."""
    generator = torch.Generator().manual_seed(seed)
    on = (torch.rand(N_TOKENS, 2 * N_OUTPUTS, generator=generator) < 0.15).float()
    either = torch.maximum(on[:, ::2], on[:, 1::2])
    fires = either if planted else (torch.rand(either.shape, generator=generator) < either.mean()).float()
    weight = torch.zeros(2 * N_OUTPUTS, N_OUTPUTS)
    for output in range(N_OUTPUTS):
        weight[[2 * output, 2 * output + 1], output] = 1.0
    documents = torch.arange(N_TOKENS).numpy() // (N_TOKENS // N_DOCUMENTS)
    rows = {"inputs": FeatureRows.from_dense(on), "outputs": FeatureRows.from_dense(fires)}
    return Connector.from_dense(weight, torch.zeros(N_OUTPUTS), "relu"), SimpleNamespace(**rows, document=documents)


def found(planted: bool) -> LogicForms:
    connector, pairs = chain(planted)
    own, others = (read_logic(connector, pairs, range(N_OUTPUTS), others=other) for other in (False, True))
    named, in_others = (_counts({o: named_form(forms) for o, forms in one.items()}) for one in (own, others))
    return LogicForms(len(own), 1, named, (), in_others, len(others))


@pytest.mark.parametrize(("planted", "verdict", "share"), [(True, "holds", 1.0), (False, "cannot tell", 0.0)])
def test_what_was_planted_is_read_and_chance_is_not(planted: bool, verdict: str, share: float) -> None:
    nothing = UntrainedEvaluation({}, "", (), found(False))
    claim = _form_claim("or", found(planted), nothing)
    assert (claim.verdict, claim.measured) == (verdict, share)
    assert claim.controls is not None and claim.controls["parents of another output"].value == 0
    assert _form_claim("or", found(planted), None).verdict == "cannot tell", "its untrained control was not measured"
