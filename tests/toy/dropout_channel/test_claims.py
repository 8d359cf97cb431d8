"""The verdicts on the dropout channel: each says `holds` and `fails`, and nothing of a single network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.scores import Score
from tests.verdicts import check_covered, check_holds, claim_with
from toy.dropout_channel.claims import judge
from toy.dropout_channel.results import DropoutChannelResult, InformationCurve, SelfTest


def curve(*mean: float, error: float | None = 0.05) -> InformationCurve:
    return InformationCurve((mean,), mean, (error,) * len(mean))


TEST = SelfTest(
    "decoder",
    Score(1.95),
    0.02,
    nats_scaled=1.96,
    nats_shuffled=0.01,
    bits=2.99,
    bits_raw=3.01,
    bits_standard_error=0.01,
)
CURVES = {"with dropout": curve(4.8, 4.7), "without dropout": curve(4.8, 0.4), "untrained": curve(4.7, 0.4)}
GOOD = DropoutChannelResult(
    bits=6,
    width=24,
    layers=12,
    dropout=0.2,
    seeds=2,
    estimator="decoder",
    depths=(0, 12),
    curves=CURVES,
    uncorrected=(4.8, 0.33),
    corrected=(4.8, 4.8),
    ceiling=6,
    self_tests=(TEST,),
)


def curves(**change: InformationCurve) -> dict:
    return {"curves": CURVES | {name.replace("_", " "): value for name, value in change.items()}}


FAILURES = {
    "beats the uncorrected law": curves(with_dropout=curve(4.8, 0.1)),
    "more than one trained without": curves(with_dropout=curve(4.8, 0.1)),
    "more than an untrained one": curves(with_dropout=curve(4.8, 0.1)),
    "trained with dropout is k(1-D), flat": curves(with_dropout=curve(4.8, 4.1)),
    "trained without dropout is": curves(without_dropout=curve(4.8, 1.0)),
    "network untrained is": curves(untrained=curve(4.7, 1.0)),
    "never rises": curves(untrained=curve(4.7, 5.0)),
    "finds 2 nats": {"self_tests": (replace(TEST, nats=Score(1.85)),)},
    "does not depend on the scale": {"self_tests": (replace(TEST, nats_scaled=1.8),)},
    "shuffled pairs": {"self_tests": (replace(TEST, nats_shuffled=0.03),)},
    "exceeds H(X)": {"self_tests": (replace(TEST, bits_raw=3.05),)},
}


def test_every_claim_can_hold():
    check_holds(judge, GOOD)
    check_covered(judge, GOOD, list(FAILURES))


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    assert claim_with(judge(replace(GOOD, **FAILURES[words])), words).verdict == "fails"


def test_a_difference_within_three_standard_errors_decides_nothing():
    found = judge(replace(GOOD, **curves(with_dropout=curve(4.8, 0.45))))
    assert claim_with(found, "more than an untrained one").verdict == "cannot tell"


def test_a_single_network_decides_no_difference():
    alone = {name: curve(*one.mean, error=None) for name, one in CURVES.items()}
    found = judge(replace(GOOD, curves=alone, seeds=1))
    for words in ("beats the uncorrected law", "more than an untrained one", "never rises"):
        assert claim_with(found, words).verdict == "cannot tell", words


def test_estimators_without_a_scaled_problem_have_no_claim_on_it():
    found = judge(replace(GOOD, self_tests=(replace(TEST, estimator="ksg", nats=Score(1.85), nats_scaled=None),)))
    assert not [claim for claim in found if "scale of y" in claim.claim]
    assert claim_with(found, "finds 2 nats").verdict == "holds"  # within .2 for the estimators without a bound
