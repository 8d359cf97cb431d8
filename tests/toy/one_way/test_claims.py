"""The verdicts on the one-way code: each says `holds` and `fails`; hardness is never decided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.verdicts import check_covered, check_holds, claim_with
from toy.one_way.claims import judge
from toy.one_way.results import FixedGroup, OneWayResult, ProbeCell, VaryingGroups

ALONE, WITH = "layer alone", "layer with (p, g)"


def cell(layer: int, given: str, accuracy: float, task: str = "x", error: float | None = 0.01) -> ProbeCell:
    return ProbeCell(layer, given, "mlp", task, (0.1, accuracy), (None, error))


def cells(first: float, last: float, together: float, error: float | None = 0.01) -> tuple[ProbeCell, ...]:
    values = [(0, ALONE, first, "x"), (4, ALONE, last, "x"), (4, WITH, together, "x"), (4, WITH, 0.1, "control")]
    weaker = ProbeCell(4, ALONE, "linear", "x", (0.1, 0.01), (None, 0.01))
    return (weaker, *(cell(layer, given, value, task, error) for layer, given, value, task in values))


ENTRY = VaryingGroups((5, 7), 2000, 600, 1.0, ceiling=0.4, chance=0.1, cells=cells(0.9, 0.35, 0.97))
GOOD = OneWayResult((FixedGroup(5, 1.0, 1.0),), (ENTRY,), layers=5, budgets=(5, 50), seeds=2)
FAILURES = {
    "positive control": {"fixed": (FixedGroup(5, 1.0, 1.0), FixedGroup(7, 1.0, 0.9))},
    "less from the last": {"varying": (replace(ENTRY, cells=cells(0.2, 0.39, 0.97)),)},
    "no more of x than y does": {"varying": (replace(ENTRY, cells=cells(0.9, 0.55, 0.97)),)},
    "Given (p, g) as well": {"varying": (replace(ENTRY, cells=cells(0.9, 0.35, 0.7)),)},
}
UNDECIDABLE = ["no efficient probe"]


def test_every_claim_can_hold_but_hardness():
    check_holds(judge, GOOD, UNDECIDABLE)
    check_covered(judge, GOOD, [*FAILURES, *UNDECIDABLE])


@pytest.mark.parametrize("words", FAILURES)
def test_every_claim_can_fail(words: str):
    assert claim_with(judge(replace(GOOD, **FAILURES[words])), words).verdict == "fails"


def test_the_better_probe_at_the_largest_budget_counts():
    assert claim_with(judge(GOOD), "less from the last").measured == 0.35


def test_a_single_network_decides_no_difference():
    found = judge(replace(GOOD, varying=(replace(ENTRY, cells=cells(0.9, 0.35, 0.97, error=None)),), seeds=1))
    for words in ("less from the last", "no more of x", "Given (p, g)"):
        assert claim_with(found, words).verdict == "cannot tell", words
