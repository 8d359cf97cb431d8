"""Features of which logic forms are untrue, or true: outputs that are an OR or an AND-NOT of two inputs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor

from eval.claims import Claim
from eval.measures.connectors.connector import Connector
from eval.measures.dictionaries.feature_rows import FeatureRows
from eval.scores import Score
from llm_codes.lenses.circuits.claims import claims_of
from llm_codes.lenses.circuits.found import _counts
from llm_codes.lenses.circuits.reading import named_form, read_logic
from llm_codes.lenses.circuits.rows import LogicForms, UntrainedEvaluation
from llm_codes.lenses.connectors.rows import Scorecard, ScorecardRow
from tests.claims_meta.rows import Material, Row

OUTPUTS, TOKENS, DOCUMENTS = 16, 3000, 30
NO_GAP = Scorecard((ScorecardRow("connector", 0.0, Score.undefined("no model"), None),), (), TOKENS)
"""Of features without a model: nothing was replaced."""
Kind = Literal["or", "and-not", "nothing"]


def fires(kind: Kind, first: Tensor, second: Tensor, generator: torch.Generator) -> Tensor:
    if kind == "or":
        return torch.maximum(first, second)
    if kind == "and-not":
        return first * (1 - second)
    return (torch.rand(first.shape, generator=generator) < 0.2).float()


def forms_of(kind: Kind, seed: int, *, shuffle: bool = False) -> LogicForms:
    """Forms read by the study over an output's own parents, and over those of another."""
    generator = torch.Generator().manual_seed(seed)
    on = (torch.rand(TOKENS, 2 * OUTPUTS, generator=generator) < 0.3).float()
    written = fires(kind, on[:, ::2], on[:, 1::2], generator)
    if shuffle:
        written = written[torch.randperm(TOKENS, generator=generator)]
    sign = -1.0 if kind == "and-not" else 1.0
    weight = torch.zeros(2 * OUTPUTS, OUTPUTS)
    for output in range(OUTPUTS):
        weight[2 * output, output], weight[2 * output + 1, output] = 1.0, sign
    connector = Connector.from_dense(weight, torch.zeros(OUTPUTS), "relu")
    documents = torch.arange(TOKENS).numpy() // (TOKENS // DOCUMENTS)
    rows = {"inputs": FeatureRows.from_dense(on), "outputs": FeatureRows.from_dense(written)}
    pairs: Any = SimpleNamespace(**rows, document=documents)
    own, others = (read_logic(connector, pairs, range(OUTPUTS), others=other) for other in (False, True))
    named, elsewhere = (_counts({o: named_form(forms) for o, forms in one.items()}) for one in (own, others))
    return LogicForms(len(own), 1, named, (), elsewhere, len(others))


def judged(kind: Kind, seed: int, *, shuffle: bool = False) -> list[Claim]:
    """Beside features of which no form is true, as an untrained network's."""
    control = UntrainedEvaluation({}, "", NO_GAP.scorecard, forms_of("nothing", seed + 100))
    return claims_of(NO_GAP, forms_of(kind, seed, shuffle=shuffle), control)


def untrained(material: Material) -> list[Claim]:
    return judged("nothing", 0)


def shuffled(material: Material) -> list[Claim]:
    return [*judged("or", 1, shuffle=True), *judged("and-not", 2, shuffle=True)]


def planted(material: Material) -> list[Claim]:
    return [*judged("or", 3), *judged("and-not", 4)]


ROW = Row(
    {"untrained": untrained, "shuffled": shuffled, "planted": planted},
    unplanted={
        "stands in for the MLP": "needs a model whose loss rests on one MLP and dictionaries trained on it; features "
        "alone replace nothing"
    },
)
