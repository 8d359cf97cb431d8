"""The verdicts on superposition: each says `holds` and `fails` where it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.scores import Score
from tests.verdicts import check_covered, check_holds, claim_with
from toy.superposition.chapter import bound_words
from toy.superposition.claims import judge
from toy.superposition.results import PhaseDiagram, Polygon, SparsityLevel, SuperpositionResult


def level(sparsity: float, dimensions: float, bound: float, near_half: float | None = None) -> SparsityLevel:
    score = Score(dimensions)
    return SparsityLevel(sparsity, score, (dimensions,), None, 5.0, near_half, (), {"16": bound}, ((0.0,),))


LEVELS = (level(0.0, 1.0, 1.0), level(0.5, 0.55, 0.51), level(0.6, 0.5, 0.48, 0.9), level(0.99, 0.05, 0.2))
PHASE = PhaseDiagram((1.0, 2.0), (1.0, 0.01), ((1, 3), (1, 3)), ("a", "b", "c", "d"), 0.0, 1.0)
GOOD = SuperpositionResult(
    n_features=10,
    n_hidden=4,
    seeds=1,
    levels=LEVELS,
    floor=0.4,
    informative_below={"16": 0.7},
    plateaus={"1": 0.2, "0.5": 0.49},
    polygons=(Polygon(0.0, ((1.0,), (0.0,)), (1.0,)),),
    phase=PHASE,
)
FAILURES = {
    "bounds dimensions": {"levels": (LEVELS[0], level(0.5, 0.5, 0.51), *LEVELS[2:])},
    "predicts dimensions": {"levels": (LEVELS[0], level(0.5, 0.6, 0.51), *LEVELS[2:])},
    "plateau at 1": {"plateaus": {"1": 0.5, "0.5": 0.4}},
    "plateau at 0.5": {"plateaus": {"1": 0.4, "0.5": 0.5}},
    "antipodal pairs": {"levels": (*LEVELS[:2], level(0.6, 0.5, 0.48, 0.8), LEVELS[3])},
    "never in superposition": {"phase": replace(PHASE, superposition_dense=0.5)},
    "similar importance are": {"phase": replace(PHASE, superposition_sparse=0.5)},
}


def test_every_claim_can_hold():
    check_holds(judge, GOOD)
    check_covered(judge, GOOD, list(FAILURES))


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    assert claim_with(judge(replace(GOOD, **FAILURES[words])), words).verdict == "fails"


def test_levels_where_the_bound_says_nothing_are_left_out():
    """At S = .99 the models lie far below R, and R below the floor."""
    assert LEVELS[3].dimensions_by_seed[0] < LEVELS[3].bound["16"]
    assert claim_with(judge(GOOD), "bounds dimensions").n == 3


def test_no_level_near_one_half_decides_nothing_about_pairs():
    found = judge(replace(GOOD, levels=(LEVELS[0], LEVELS[3])))
    assert claim_with(found, "antipodal pairs").verdict == "cannot tell"


def test_the_chapter_says_what_the_claim_says():
    assert bound_words(GOOD) == "at H = 16 bits it holds (smallest D*/R 1.000)"
    assert "it fails" in bound_words(replace(GOOD, **FAILURES["bounds dimensions"]))
