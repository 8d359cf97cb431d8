"""The verdicts on incidental polysemanticity: each says `holds` and `fails`, and nothing of a single model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.scores import Score
from tests.verdicts import check_covered, check_holds, claim_with
from toy.incidental.claims import judge
from toy.incidental.results import (
    IncidentalResult,
    Initialisation,
    Movie,
    NoiseNorm,
    PolysemanticCount,
    RowNorm,
    Setting,
)

COUNT = PolysemanticCount(64, 256, 64, Score(3.7), 0.15, 3.49, 4.0, 0.99, 1.05, True)
ROW = RowNorm(10_000, 1e-3, 8, (0.0,), (1.0,), (1.0,), (1.0,), (1.0,), (9.0,), (0.9, 1.4), (0.9, 1.45), 1.0, inside=1.0)
START = Initialisation("adamw", 64, 128, 64, Score(0.2), 0.01, 0.0, 0.1, Score(0.6), 0.02, 1 / 128, 0.1, (0.6, 0.1))
NOISE = {
    "rademacher": NoiseNorm("rademacher", -2.0, (0,), (0.1,), Score(0.4), 0.01, 0.167, 8),
    "gaussian": NoiseNorm("gaussian", 0.0, (0,), (0.1,), Score(0.17), 0.001, 0.167, 8),
    "laplace": NoiseNorm("laplace", 3.0, (0,), (0.1,), Score(0.1), 0.01, 0.167, 8),
    "t": NoiseNorm("t", 3.0, (0,), (0.1,), Score(0.1), 0.01, 0.167, 8),
}
GOOD = IncidentalResult(
    counts=(COUNT,),
    setting=Setting(64, 256, 1e-3, "none", 0.1, "adamw", 1e-3, 0.01, 10, "float32"),
    initialisation=(START,),
    noise=tuple(NOISE.values()),
    row=ROW,
    movie=Movie(1, 1, (0,), ((0.0,),), (0.0,), (0.0,), (0,)),
)


def noise(kind: str, value: float) -> dict:
    return {"noise": tuple(replace(row, final=Score(value)) if row.noise == kind else row for row in GOOD.noise)}


FAILURES = {
    "follow chance": {"counts": (replace(COUNT, agrees=False),)},
    "as printed": {"counts": (replace(COUNT, mean=Score(3.5)),)},
    "mean over rows": {"row": replace(ROW, mean_range=(0.8, 1.4))},
    "every single row": {"row": replace(ROW, rows_always_inside=0.9)},
    "Rademacher noise raises": noise("rademacher", 0.1),
    "Gaussian noise leaves": noise("gaussian", 0.2),
    "Laplace noise lowers": noise("laplace", 0.3),
    "Student t noise lowers": noise("t", 0.3),
    "correlate with their own": {"initialisation": (replace(START, diagonal=Score(-0.2)),)},
    "largest weight wins": {"initialisation": (replace(START, kept=Score(0.4)),)},
}


def test_every_claim_can_hold():
    check_holds(judge, GOOD)
    check_covered(judge, GOOD, list(FAILURES))


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    assert claim_with(judge(replace(GOOD, **FAILURES[words])), words).verdict == "fails"


@pytest.mark.parametrize("words", ["Rademacher noise raises", "largest weight wins"])
def test_a_difference_within_three_standard_errors_decides_nothing(words: str):
    close = replace(GOOD, **noise("rademacher", 0.19), initialisation=(replace(START, kept=Score(0.55)),))
    assert claim_with(judge(close), words).verdict == "cannot tell"


def test_models_that_have_not_converged_decide_nothing():
    found = judge(replace(GOOD, counts=(replace(COUNT, converged=0.95),)))
    assert {claim_with(found, words).verdict for words in ("follow chance", "as printed")} == {"cannot tell"}


def test_a_single_model_decides_nothing_that_rests_on_the_spread():
    alone = replace(
        GOOD,
        counts=(replace(COUNT, standard_error=None, seeds=1),),
        noise=tuple(replace(row, standard_error=None, seeds=1) for row in GOOD.noise),
        initialisation=(replace(START, diagonal_standard_error=None, kept_standard_error=None, seeds=1),),
    )
    words = ["as printed", "Gaussian noise", "Laplace noise", "correlate with", "largest weight wins"]
    assert {claim_with(judge(alone), one).verdict for one in words} == {"cannot tell"}
