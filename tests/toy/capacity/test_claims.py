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
from toy.capacity.study import error_channel_capacity, measure

CASCADE = Cascade((1,), (0.8,), (0.8,), (0.01,), (0.1,), (0.1,), (0.005,), 0, 10, 6, 0.2, 500, 1.0, 2.9)
NEURON = NeuronCapacity(4, 0.2, exact=3.19, blahut_arimoto=3.19, difference=1e-7, low=3.0, high=3.2, error_channel=1.0)
DEPTH = DepthCurve(0.2, 4, (0, 1), (4.0, 3.2), (4.0, 3.2), (4.0, 3.19), (4.0, 1.0))
GOOD = CapacityResult(
    compression_rates=(CompressionRate(16.0, 0.9, 0.1293),),
    dropout_capacities=(NEURON,),
    depth=(DEPTH,),
    cascade=CASCADE,
    widths=FiniteWidth((10, 100, 1000), (0.7, 0.78, 0.79), (0.5, 0.77, 0.79), (0.0, 0.0, 0.0), 0.2),
    power_law=(PowerLawLoss(1000, 8529.0, 8529.0, 8524.0, 0.9995),),
)
FAILURES = {
    "The compression rate at": {"compression_rates": (CompressionRate(16.0, 0.9, 0.1299),)},
    "The closed form": {"dropout_capacities": (NEURON, replace(NEURON, difference=2e-5))},
    "One layer of dropout": {"dropout_capacities": (NEURON, replace(NEURON, exact=3.1))},
    "Without correction": {"depth": (replace(DEPTH, uncorrected_exact=(4.0, 3.1)),)},
    "carries at least": {"dropout_capacities": (replace(NEURON, low=3.2),)},
    "carries at most": {"dropout_capacities": (replace(NEURON, high=3.1),)},
    "Without re-encoding": {"cascade": replace(CASCADE, surviving=(0.6,))},
    "With re-encoding": {"cascade": replace(CASCADE, failed=(0.2,))},
    "decoded without error": {"cascade": replace(CASCADE, wrong=1)},
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


def test_the_bounds_of_theorem_3_are_theorems_and_hold_in_every_cell():
    found = measure(trials=50, layers=2, width=8, message=5)
    assert len(found.dropout_capacities) == 16
    for words in ("carries at least", "carries at most"):
        claim = claim_with(judge(found), words)
        assert (claim.kind, claim.verdict, claim.n) == ("theorem", "holds", 16)


def test_a_law_that_a_neuron_of_errors_keeps_as_well_says_nothing_about_dropout():
    same = replace(GOOD, dropout_capacities=(replace(NEURON, error_channel=3.19),))
    assert claim_with(judge(same), "One layer of dropout").verdict == "holds, and so does its control"


def test_too_few_cascades_decide_nothing():
    found = judge(replace(GOOD, cascade=replace(CASCADE, failed_error=(0.02,))))
    assert claim_with(found, "With re-encoding").verdict == "cannot tell"


@pytest.mark.parametrize(("bits", "share", "expected"), [(1, 0.5, 0.0), (1, 0.11, 0.5), (8, 0.0, 8.0), (1, 0.9, 0.0)])
def test_capacity_of_a_neuron_that_errs(bits: int, share: float, expected: float):
    assert error_channel_capacity(bits, share) == pytest.approx(expected, abs=1e-3)


def test_words_are_decoded_without_a_single_error_or_not():
    whole = judge(GOOD)
    assert claim_with(whole, "decoded without error").verdict == "holds"
    one_wrong = claim_with(judge(replace(GOOD, cascade=replace(CASCADE, wrong=1))), "decoded without error")
    assert one_wrong.verdict == "fails" and one_wrong.measured == 1
