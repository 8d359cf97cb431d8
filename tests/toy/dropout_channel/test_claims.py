"""The verdicts on the dropout channel: each says `holds` and `fails`, and nothing of a single network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.scores import Score
from tests.verdicts import check_covered, check_holds, claim_with
from toy.dropout_channel.claims import judge
from toy.dropout_channel.results import DropoutChannelResult, InformationCurve, SelfTest


def curve(*mean: float, spread: float = 0.02) -> InformationCurve:
    """Four networks around the mean."""
    by_seed = tuple(tuple(value + spread * sign for value in mean) for sign in (-1, 1, -0.5, 0.5))
    return InformationCurve(by_seed, mean, (spread,) * len(mean))


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
CURVES = {"with dropout": curve(4.8, 4.7), "without dropout": curve(4.8, 0.4), "untrained": curve(4.75, 0.45)}
GOOD = DropoutChannelResult(
    bits=6,
    width=24,
    layers=12,
    dropout=0.2,
    seeds=4,
    estimator="decoder",
    depths=(0, 12),
    curves=CURVES,
    uncorrected=(4.8, 0.33),
    corrected=(6, 6),
    ceiling=6,
    self_tests=(TEST,),
)


def curves(**change: InformationCurve) -> dict:
    return {"curves": CURVES | {name.replace("_", " "): value for name, value in change.items()}}


FAILURES = {
    "beats the uncorrected law": curves(with_dropout=curve(4.8, 0.1)),
    "more than one trained without": curves(with_dropout=curve(4.8, 0.1)),
    "more than an untrained one": curves(with_dropout=curve(4.8, 0.1)),
    "trained without dropout is": curves(without_dropout=curve(4.8, 1.0)),
    "network untrained is": curves(untrained=curve(4.7, 1.0)),
    "never rises": curves(untrained=curve(4.7, 5.2)),
    "finds 2 nats": {"self_tests": (replace(TEST, nats=Score(1.85)),)},
    "does not depend on the scale": {"self_tests": (replace(TEST, nats_scaled=1.8),)},
    "shuffled pairs": {"self_tests": (replace(TEST, nats_shuffled=0.03),)},
    "exceeds H(X)": {"self_tests": (replace(TEST, bits_raw=3.1),)},
}


def test_every_claim_can_hold():
    check_holds(judge, GOOD)
    check_covered(judge, GOOD, list(FAILURES))


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    assert claim_with(judge(replace(GOOD, **FAILURES[words])), words).verdict == "fails"


def test_a_difference_within_its_interval_decides_nothing():
    found = judge(replace(GOOD, **curves(with_dropout=curve(4.8, 0.45, spread=0.2))))
    assert claim_with(found, "more than an untrained one").verdict == "cannot tell"


def test_what_any_training_does_says_nothing_about_dropout():
    found = judge(replace(GOOD, **curves(without_dropout=curve(4.8, 4.7))))
    assert claim_with(found, "beats the uncorrected law").verdict == "holds, and so does its control"
    assert claim_with(found, "more than an untrained one").verdict == "holds, and so does its control"


def test_nobody_says_that_a_corrected_code_is_flat_at_k():
    assert not [claim for claim in judge(GOOD) if "flat" in claim.claim]


def test_a_single_network_decides_no_difference_and_says_why():
    alone = {name: InformationCurve((one.mean,), one.mean, (None, None)) for name, one in CURVES.items()}
    found = judge(replace(GOOD, curves=alone, seeds=1))
    for words in ("beats the uncorrected law", "more than an untrained one", "never rises", "network untrained is"):
        claim = claim_with(found, words)
        assert claim.verdict == "cannot tell" and "one model says nothing about the spread" in claim.note, words


def test_estimators_without_a_scaled_problem_have_no_claim_on_it():
    found = judge(replace(GOOD, self_tests=(replace(TEST, estimator="ksg", nats=Score(1.85), nats_scaled=None),)))
    assert not [claim for claim in found if "scale of y" in claim.claim]
    assert claim_with(found, "finds 2 nats").verdict == "holds"  # within .2 for the estimators without a bound
