"""The verdicts on incidental polysemanticity: each says `holds` and `fails`, and nothing of a single model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.scores import Score
from tests.verdicts import check_covered, check_holds, claim_with
from toy.incidental.claims import error_difference, judge, rate_exponents
from toy.incidental.results import (
    DecayRate,
    IncidentalResult,
    Initialisation,
    Movie,
    NoiseNorm,
    PolysemanticCount,
    RowNorm,
    Setting,
)


def score(value: float, half: float = 0.01, n: int = 64) -> Score:
    return Score(value, value - half, value + half, n)


ALONE = "one model says nothing about the spread"
NONE, STILL = Score.exact(0.0, 64), Score(72.0, 71.0, 73.0, 40)
COUNT = PolysemanticCount(64, 256, 64, score(3.7, 0.1), 0.05, 3.49, 4.0, 0.99, NONE, 600, 0, 300)
ROW = RowNorm(
    10_000, 1e-3, 40, (0.0,), (1.0,), (1.0,), (1.0,), (1.0,), (9.0,), (0.9, 1.4), (0.9, 1.45), 1.0, 1.0,
    Score(1.2, 1.1, 1.3, 40), STILL, 0.0,
)  # fmt: skip
START = Initialisation(
    "adamw", 64, 128, 64, score(0.2), 0.01, 0.0, 0.1, score(0.6), 0.02, 1 / 128, 0.1, (0.6, 0.1),
    excess=score(0.2), excess_other=score(0.0), kept_other=score(0.01, 0.005), converged=0.99,
)  # fmt: skip


def rates(power: float) -> tuple[DecayRate, ...]:
    """Three lambdas, three models, rates that go with that power of lambda."""
    values = {l1: [scale * l1**power for scale in (0.5, 0.51, 0.52)] for l1 in (5e-4, 1e-3, 2e-3)}
    return tuple(DecayRate(l1, tuple(row), score(row[1])) for l1, row in values.items())


def noisy(kind: str, kurtosis: float, final: float) -> NoiseNorm:
    return NoiseNorm(kind, kurtosis, (0, 9), (0.18, final), score(final, 0.005), 0.002, 0.167, 8)


NOISE = {
    "rademacher": noisy("rademacher", -2.0, 0.4),
    "gaussian": noisy("gaussian", 0.0, 0.17),
    "laplace": noisy("laplace", 3.0, 0.1),
    "t": noisy("t", 3.0, 0.1),
}
GOOD = IncidentalResult(
    counts=(COUNT,),
    setting=Setting(64, 256, 1e-3, "none", 0.1, "adamw", 1e-3, 0.01, 10, "float32"),
    initialisation=(START,),
    noise=tuple(NOISE.values()),
    row=ROW,
    movie=Movie(1, 1, (0,), ((0.0,),), (0.0,), (0.0,), (0,)),
    rates=rates(1.0),
)


def noise(kind: str, value: float) -> dict:
    return {"noise": tuple(noisy(kind, row.excess_kurtosis, value) if row.noise == kind else row for row in GOOD.noise)}


FAILURES = {
    "follow chance": {"counts": (replace(COUNT, mean=score(5.0)),)},
    "as printed": {"counts": (replace(COUNT, mean=score(3.0)),)},
    "mean over rows": {"row": replace(ROW, mean_path=Score(2.0, 1.9, 2.1, 40))},
    "share a neuron": {"counts": (replace(COUNT, same_sign=100),)},
    "proportional to lambda": {"rates": rates(0.5)},
    "every single row": {"row": replace(ROW, rows_always_inside=0.5)},
    "Rademacher noise raises": noise("rademacher", 0.1),
    "Gaussian noise leaves": noise("gaussian", 0.2),
    "Laplace noise lowers": noise("laplace", 0.3),
    "Student t noise lowers": noise("t", 0.3),
    "correlate with their own": {"initialisation": (replace(START, excess=score(-0.2)),)},
    "largest weight wins": {"initialisation": (replace(START, kept=score(0.4)),)},
}
COUNTED = ("follow chance", "as printed", "correlate with their own", "largest weight wins")


def test_every_claim_can_hold():
    check_holds(judge, GOOD)
    check_covered(judge, GOOD, list(FAILURES))


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    assert claim_with(judge(replace(GOOD, **FAILURES[words])), words).verdict == "fails"


def test_both_laws_of_the_count_are_held_to_one_margin_and_say_which_is_nearer():
    claims = [claim_with(judge(GOOD), words) for words in ("follow chance", "as printed")]
    assert [claim.tolerance for claim in claims] == pytest.approx([0.15 * 3.49, 0.15 * 4.0])
    assert [claim.kind for claim in claims] == ["prediction of ours", "statement of a source"]
    assert all("error of n^2/4m less that of the occupancy law 0.09 [-0.11, 0.29]" in claim.note for claim in claims)


def test_the_difference_of_two_errors_moves_with_the_measurement():
    assert error_difference(score(3.49, 0.0), 4.0, 3.49).value == pytest.approx(0.51)
    found = error_difference(score(3.7, 0.1), 4.0, 3.49)
    assert found.interval == pytest.approx([-0.11, 0.29])
    assert error_difference(Score(3.7, interval_reason=ALONE), 4.0, 3.49).interval is None


@pytest.mark.parametrize("words", ["Rademacher noise raises", "largest weight wins"])
def test_an_interval_across_the_threshold_decides_nothing(words: str):
    close = replace(GOOD, **noise("rademacher", 0.17), initialisation=(replace(START, kept=score(0.495)),))
    assert claim_with(judge(close), words).verdict == "cannot tell"


@pytest.mark.parametrize("words", COUNTED)
def test_models_that_have_not_converged_decide_nothing(words: str):
    young = replace(GOOD, counts=(replace(COUNT, converged=0.95),), initialisation=(replace(START, converged=0.1),))
    claim = claim_with(judge(young), words)
    assert claim.verdict == "cannot tell" and "not converged" in claim.note


def test_an_untrained_model_that_does_the_same_is_said():
    twin = replace(GOOD, counts=(replace(COUNT, untrained=score(3.7, 0.1)),))
    assert claim_with(judge(twin), "follow chance").verdict == "holds, and so does its control"
    noisy_start = replace(GOOD, initialisation=(replace(START, excess_other=score(0.2)),))
    assert claim_with(judge(noisy_start), "correlate with").verdict == "holds, and so does its control"


def test_a_single_model_decides_nothing_that_rests_on_the_spread_and_says_why():
    def alone(value: float) -> Score:
        return Score(value, n=1, interval_reason=ALONE)

    single = replace(
        GOOD,
        counts=(replace(COUNT, mean=alone(3.7), seeds=1),),
        noise=tuple(replace(row, final=alone(0.2), seeds=1) for row in GOOD.noise),
        initialisation=(replace(START, excess=alone(0.2), kept=alone(0.6), seeds=1),),
        row=replace(ROW, mean_path=alone(1.0), seeds=1),
    )
    for words in [*COUNTED, "mean over rows", "Gaussian noise", "Laplace noise"]:
        claim = claim_with(judge(single), words)
        assert claim.verdict == "cannot tell" and ALONE in claim.note, words
    assert claim_with(judge(single), "every single row").verdict == "cannot tell"


def test_models_without_a_shared_neuron_or_a_decay_decide_nothing():
    claim = claim_with(
        judge(replace(GOOD, counts=(replace(COUNT, shared=0, same_sign_by_chance=0),))), "share a neuron"
    )
    assert claim.verdict == "cannot tell" and "no neuron is polysemantic in these models" in claim.note
    still = tuple(replace(rate, by_seed=(0.0, 0.0, 0.0)) for rate in rates(1.0))
    assert rate_exponents(still) == [None] * 3
    assert "no model loses L1 norm" in claim_with(judge(replace(GOOD, rates=still)), "proportional to lambda").note


def test_signs_at_random_that_do_the_same_are_said():
    twin = replace(GOOD, counts=(replace(COUNT, same_sign_by_chance=0),))
    assert claim_with(judge(twin), "share a neuron").verdict == "holds, and so does its control"
