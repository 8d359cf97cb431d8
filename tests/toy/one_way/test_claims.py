"""The verdicts on the one-way code: each says `holds` and `fails`, beside controls of the same networks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.measures.statistics.binomial import binomial_share
from tests.verdicts import check_covered, check_holds, claim_with
from toy.configs.one_way import OneWayOptions
from toy.one_way.claims import judge
from toy.one_way.results import FixedGroup, OneWayResult, ProbeCell, VaryingGroups
from toy.one_way.study import measure_fixed

ALONE, WITH = "layer alone", "layer with (p, g)"


def cell(layer: int, given: str, accuracy: float, task: str = "x", spread: float = 0.01) -> ProbeCell:
    by_seed = tuple(accuracy + spread * sign for sign in (-1, 1, -0.5, 0.5))
    return ProbeCell(layer, given, "mlp", task, (0.1, accuracy), (None, 0.01), by_seed)


def cells(first: float, last: float, together: float, spread: float = 0.01) -> tuple[ProbeCell, ...]:
    values = [(0, ALONE, first, "x"), (4, ALONE, last, "x"), (4, WITH, together, "x"), (4, WITH, 0.1, "control")]
    values += [(layer, ALONE, 0.1, "control") for layer in (0, 4)]
    values += [(0, ALONE, 0.9, "untrained"), (4, ALONE, 0.8, "untrained"), (4, WITH, 0.8, "untrained")]
    weaker = ProbeCell(4, ALONE, "linear", "x", (0.1, 0.01), (None, 0.01), (0.01,) * 4)
    return (weaker, *(cell(layer, given, value, task, spread) for layer, given, value, task in values))


def fixed(prime: int, share: float, shuffled: float = 0.2) -> FixedGroup:
    return FixedGroup(prime, 1.0, *(binomial_share(round(200 * one), 200) for one in (share, shuffled)))


ENTRY = VaryingGroups((5, 7), 2000, 600, 1.0, ceiling=0.4, chance=0.1, cells=cells(0.9, 0.35, 0.97))
GOOD = OneWayResult((fixed(5, 1.0),), (ENTRY,), layers=5, budgets=(5, 50), seeds=4)
FAILURES = {
    "positive control": {"fixed": (fixed(5, 1.0), fixed(7, 0.7))},
    "less from the last": {"varying": (replace(ENTRY, cells=cells(0.2, 0.39, 0.97)),)},
    "no more of x than y does": {"varying": (replace(ENTRY, cells=cells(0.9, 0.55, 0.97)),)},
    "Given (p, g) as well": {"varying": (replace(ENTRY, cells=cells(0.9, 0.35, 0.7)),)},
}


def test_every_claim_can_hold():
    check_holds(judge, GOOD)
    check_covered(judge, GOOD, list(FAILURES))


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    assert claim_with(judge(replace(GOOD, **FAILURES[words])), words).verdict == "fails"


def test_a_probe_that_fits_labels_at_random_as_well_is_no_positive_control():
    found = judge(replace(GOOD, fixed=(fixed(5, 1.0, shuffled=1.0),)))
    assert claim_with(found, "positive control").verdict == "holds, and so does its control"


def test_noise_with_labels_at_random_is_not_read_on_points_the_probe_was_not_fitted_on():
    """On its own training points a probe of this width reads noise with labels at random at 1.0."""
    group = measure_fixed(11, OneWayOptions(steps=150, width=32, layers=2), 0)
    assert group.probe.low is not None and group.probe.low > 0.9
    assert group.shuffled.high is not None and group.shuffled.high < 0.4


def test_x_that_fades_in_an_untrained_network_alike_says_nothing_about_training():
    same = tuple(replace(one, by_seed=(0.35, 0.36, 0.34, 0.35)) if one.task == "untrained" and one.layer == 4 else one
                 for one in ENTRY.cells)  # fmt: skip
    found = judge(replace(GOOD, varying=(replace(ENTRY, cells=same),)))
    assert claim_with(found, "less from the last").verdict == "holds, and so does its control"


def test_the_better_probe_at_the_largest_budget_counts():
    assert claim_with(judge(GOOD), "no more of x").measured == pytest.approx(0.35)


def test_more_inputs_that_lower_the_score_say_only_that_the_probe_overfits():
    found = judge(replace(GOOD, varying=(replace(ENTRY, cells=cells(0.9, 0.35, 0.2)),)))
    claim = claim_with(found, "Given (p, g)")
    assert claim.verdict == "cannot tell" and "it overfits" in claim.note


def test_hardness_is_no_row_since_nothing_here_could_decide_it():
    assert not [claim for claim in judge(GOOD) if claim.measured is None or "no efficient probe" in claim.claim]


def test_a_single_network_decides_no_difference_and_says_why():
    alone = tuple(replace(one, by_seed=one.by_seed[:1]) for one in ENTRY.cells)
    found = judge(replace(GOOD, varying=(replace(ENTRY, cells=alone),), seeds=1))
    for words in ("less from the last", "no more of x", "Given (p, g)"):
        claim = claim_with(found, words)
        assert claim.verdict == "cannot tell" and "one model says nothing about the spread" in claim.note, words
