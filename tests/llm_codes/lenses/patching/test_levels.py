"""What patched pairs license: nothing without controls, no more than was measured; panels of one bar share its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.scores import Score
from llm_codes.lenses.patching.figures import _limit
from llm_codes.lenses.patching.levels import levels_of, licensed
from llm_codes.lenses.patching.rows import FeaturesTogether, Patched, PatchingResults

HALF, NOTHING = Score(0.5, 0.4, 0.6, 30), Score(0.0, -0.1, 0.1, 30)


def row(part: str, restored: Score, beyond: bool | None) -> Patched:
    return Patched(part, "layer 1", "head 2", 30, restored, NOTHING, restored, NOTHING, 0.01, 0.01, 0.01, beyond)


def results(*rows: Patched, features: Score | None = None) -> PatchingResults:
    found = None if features is None else FeaturesTogether(8, 0.01, features, NOTHING, HALF, HALF, HALF, HALF)
    return PatchingResults((), (), rows, found, None if found else "none were asked for", (), 30)


@pytest.mark.parametrize("beyond", [False, None])
def test_nothing_is_licensed_that_is_not_beyond_its_controls(beyond: bool | None) -> None:
    levels = levels_of(results(row("heads", HALF, beyond), row("paths", HALF, beyond), features=NOTHING))
    assert [level.passed for level in levels[:3]] == [beyond, beyond, False]
    assert licensed(levels).startswith("Licensed: none")
    assert all(level.passed is None for level in levels[3:]), "what was not measured is neither"


def test_the_strongest_row_beyond_its_controls_counts_not_the_strongest() -> None:
    weak = replace(row("paths", Score(0.2, 0.1, 0.3, 30), True), row="MLP 0", column="logits")
    levels = levels_of(results(row("paths", HALF, False), weak))
    assert levels[0].passed and levels[0].measured.startswith("MLP 0 -> logits")
    assert "single parts carry some" in licensed(levels) and "restore" not in licensed(levels)
    both = levels_of(results(row("paths", HALF, True), features=HALF))
    assert "single parts carry and restore some" in licensed(both)


def test_without_intervals_features_are_not_told_from_random_ones() -> None:
    (level, *_) = levels_of(results(features=Score(0.9, None, None, 5, None, "5 documents")))
    assert level.passed is None


def test_panels_beside_one_bar_share_its_end() -> None:
    assert _limit([row("resid_pre", HALF, None), row("mlp_out", NOTHING, None)]) == 0.5
    assert _limit([row("heads", Score.undefined("none"), None)]) == 0.05
