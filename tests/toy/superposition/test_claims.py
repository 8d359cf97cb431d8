"""The verdicts on superposition: each says `holds` and `fails` where it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.scores import Score
from tests.verdicts import check_covered, check_holds, claim_with
from toy.superposition.chapter import bound_words
from toy.superposition.claims import judge
from toy.superposition.results import PhaseDiagram, Polygon, SparsityLevel, SuperpositionResult


def level(sparsity: float, dimensions: float, bound: float, pairs: float | None = None) -> SparsityLevel:
    """Three models around the value."""
    by_seed = (dimensions, dimensions * 1.001, dimensions * 1.002)
    halves = (pairs,) * 3 if pairs is None else (pairs, pairs - 0.01, pairs + 0.01)
    return SparsityLevel(
        sparsity, Score(dimensions), by_seed, None, 5.0, pairs, (), {"24": bound}, ((0.0,),), halves, (0.0, 0.1, 0.0),
        (0.3, 0.31, 0.3),
    )  # fmt: skip


LEVELS = (
    level(0.0, 1.01, 1.0), level(0.1, 1.0, 0.99), level(0.5, 0.52, 0.5), level(0.6, 0.51, 0.48, 0.9),
    level(0.99, 0.05, 0.2),
)  # fmt: skip
PHASE = PhaseDiagram((1.0, 2.0), (1.0, 0.01), ((1, 3), (1, 3)), ("a", "b", "c", "d"), 0.0, 1.0, 0.4)
GOOD = SuperpositionResult(
    n_features=10,
    n_hidden=4,
    seeds=3,
    levels=LEVELS,
    floor=0.4,
    informative_below={"24": 0.7},
    plateaus={"1": 0.2, "0.5": 0.49},
    polygons=(Polygon(0.0, ((1.0,), (0.0,)), (1.0,)),),
    phase=PHASE,
)
STRAIGHT = tuple(level(one.sparsity, 1.05 * 2 ** (-k / 8), 0.3) for k, one in enumerate(LEVELS * 2))
FAILURES = {
    "bounds dimensions": {"levels": (LEVELS[0], level(0.5, 0.5, 0.51), *LEVELS[2:])},
    "predicts dimensions": {"levels": (LEVELS[0], level(0.5, 0.6, 0.51), *LEVELS[2:])},
    "plateau at 1": {"levels": STRAIGHT},
    "plateau at 0.5": {"levels": STRAIGHT},
    "antipodal pairs": {"levels": (*LEVELS[:3], level(0.6, 0.5, 0.48, 0.7), LEVELS[4])},
    "never in superposition": {"phase": replace(PHASE, superposition_dense=0.5)},
    "similar importance are": {"phase": replace(PHASE, superposition_sparse=0.2)},
}


def test_every_claim_can_hold():
    check_holds(judge, GOOD)
    check_covered(judge, GOOD, list(FAILURES))


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    assert claim_with(judge(replace(GOOD, **FAILURES[words])), words).verdict == "fails"


def test_levels_where_the_bound_says_nothing_are_left_out():
    """At S = .99 the models lie far below R, and R below the floor."""
    assert LEVELS[4].dimensions_by_seed[0] < LEVELS[4].bound["24"]
    assert "(4 of 5 levels)" in claim_with(judge(GOOD), "bounds dimensions").note


def test_the_bound_is_a_statement_at_the_entropy_of_the_inputs_alone():
    other = replace(
        GOOD,
        levels=tuple(replace(one, bound={"8": one.bound["24"], **one.bound}) for one in LEVELS),
        informative_below={"8": 0.7, "24": 0.7},
    )
    kinds = {words: claim_with(judge(other), f"from below ({words} bits)").kind for words in ("H=8", "H=24")}
    assert kinds == {"H=8": "prediction of ours", "H=24": "statement of a source"}


def test_what_untrained_or_shuffled_weights_show_as_well_is_said():
    untrained = tuple(replace(one, dimensions_untrained=one.dimensions_by_seed) for one in LEVELS)
    assert claim_with(judge(replace(GOOD, levels=untrained)), "bounds").verdict == "holds, and so does its control"
    shuffled = tuple(replace(one, near_half_shuffled=one.near_half_by_seed) for one in LEVELS)
    assert claim_with(judge(replace(GOOD, levels=shuffled)), "antipodal").verdict == "holds, and so does its control"


def test_no_level_near_one_half_decides_nothing_about_pairs():
    found = judge(replace(GOOD, levels=(LEVELS[0], LEVELS[4])))
    claim = claim_with(found, "antipodal pairs")
    assert claim.verdict == "cannot tell" and "no level has D* within .05 of 1/2" in claim.note
    assert "no two neighbouring sparsity levels" in claim_with(found, "plateau at 0.5").note


def test_a_single_model_decides_nothing_and_says_why():
    names = ("dimensions_by_seed", "dimensions_untrained", "near_half_by_seed", "near_half_shuffled")
    alone = tuple(replace(one, **{name: getattr(one, name)[:1] for name in names}) for one in LEVELS)
    claims = [claim for claim in judge(replace(GOOD, levels=alone, seeds=1)) if "dimension are" not in claim.claim]
    claims = [claim for claim in claims if "Two " not in claim.claim]
    assert {claim.verdict for claim in claims} == {"cannot tell"}
    assert all("one model says nothing about the spread" in claim.note for claim in claims)


def test_the_chapter_says_what_the_claim_says():
    assert bound_words(GOOD) == "at H = 24 bits it holds (smallest D*/R 1.011)"
    assert "it fails" in bound_words(replace(GOOD, **FAILURES["bounds dimensions"]))


def test_models_without_a_slope_are_counted_in_the_note():
    assert "have no slope there" not in claim_with(judge(GOOD), "sticky plateau at 0.5").note
    far = replace(LEVELS[2], dimensions_by_seed=(0.52, 0.9, 0.9))
    near = replace(LEVELS[3], dimensions_by_seed=(0.51, 0.8, 0.8))
    note = claim_with(judge(replace(GOOD, levels=(*LEVELS[:2], far, near, LEVELS[4]))), "sticky plateau at 0.5").note
    assert "2 models have no slope there" in note
