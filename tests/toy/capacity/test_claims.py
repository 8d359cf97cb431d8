"""The verdicts on coding theory: each says `holds` and `fails` where it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.verdicts import check_covered, check_holds, claim_with
from toy.capacity.claims import judge
from toy.capacity.results import (
    CapacityResult,
    Cascade,
    CompressionRate,
    DepthCurve,
    FiniteWidth,
    NeuronCapacity,
    PowerLawLoss,
)

CASCADE = Cascade((1,), (0.8,), (0.8,), (0.01,), (0.1,), (0.1,), (0.01,), 0, 10, 6, 0.2, 500, 1.0, 2.9)
NEURON = NeuronCapacity(4, 0.2, exact=3.19, blahut_arimoto=3.19, difference=1e-7, low=3.0, high=3.2)
DEPTH = DepthCurve(0.2, 4, (0, 1), (4.0, 3.2), (4.0, 3.2), (4.0, 3.19))
GOOD = CapacityResult(
    compression_rates=(CompressionRate(16.0, 0.9, 0.1293),),
    dropout_capacities=(NEURON,),
    depth=(DEPTH,),
    cascade=CASCADE,
    widths=FiniteWidth((10, 100, 1000), (0.7, 0.78, 0.79), (0.5, 0.77, 0.79), 0.2),
    power_law=(PowerLawLoss(1000, 8529.0, 8529.0, 8524.0, 0.9995),),
)
FAILURES = {
    "The compression rate at": {"compression_rates": (CompressionRate(16.0, 0.9, 0.1299),)},
    "The closed form": {"dropout_capacities": (NEURON, replace(NEURON, difference=2e-5))},
    "One layer of dropout": {"dropout_capacities": (NEURON, replace(NEURON, exact=3.1))},
    "Without correction": {"depth": (replace(DEPTH, uncorrected_exact=(4.0, 3.1)),)},
    "Without re-encoding": {"cascade": replace(CASCADE, surviving_deviation=3.1)},
    "With re-encoding": {"cascade": replace(CASCADE, failed_deviation=3.1)},
    "With correction": {"widths": replace(GOOD.widths, exact=(0.5, 0.75, 0.79))},
    "The power-law loss is": {"power_law": (PowerLawLoss(1000, 8529.0, 8529.0, 8400.0, 0.985),)},
    "The power-law loss holds": {"power_law": (PowerLawLoss(1000, 8529.0, 4264.0, 8524.0, 0.9995),)},
}


def test_every_claim_can_hold():
    check_holds(judge, GOOD)
    check_covered(judge, GOOD, list(FAILURES))


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    found = judge(replace(GOOD, **FAILURES[words]))
    assert claim_with(found, words).verdict == "fails"


def test_a_wrongly_decoded_word_fails_both_cascades():
    found = judge(replace(GOOD, cascade=replace(CASCADE, wrong=1)))
    assert {claim_with(found, words).verdict for words in ("Without re-encoding", "With re-encoding")} == {"fails"}
