"""The verdict on connectors: above virtual weights and above random edges, or not."""

from __future__ import annotations

import pytest

from eval.scores import Score
from llm_codes.lenses.weights.claims import claims_of
from llm_codes.lenses.weights.interventions import HELD
from llm_codes.lenses.weights.methods import CONNECTOR, METHODS, RANDOM, REWEIGHTED
from llm_codes.lenses.weights.rows import WeightAgreement
from tests.verdicts import claim_with


def rows(above: dict[str, float]) -> list[WeightAgreement]:
    def score(value: float) -> Score:
        return Score(value, value - 0.05, value + 0.05, 40)

    half = score(0.5)
    return [
        WeightAgreement(
            name, kind, 100, 0.5, half, half, half, half,
            Score.undefined("0 by definition") if name == REWEIGHTED else score(above.get(name, -0.2)),
        )
        for kind in HELD
        for name in METHODS
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("above", "verdict"),
    [
        ({CONNECTOR: 0.3}, "holds"),
        ({CONNECTOR: 0.3, RANDOM: 0.3}, "holds, and so does its control"),
        ({CONNECTOR: -0.3}, "fails"),
        ({CONNECTOR: 0.01}, "cannot tell"),
    ],
)
def test_better_than_virtual_weights_and_than_random_edges(above, verdict) -> None:
    claims = claims_of(rows(above))
    assert len(claims) == 4
    assert claim_with(claims, "a connector foretells total effects").verdict == verdict
