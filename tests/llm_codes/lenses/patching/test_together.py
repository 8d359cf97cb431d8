"""Pairs together: what counts as beyond its controls, and what never does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.errors import UserError
from llm_codes.lenses.patching.pairs import Pair, own_tokens
from llm_codes.lenses.patching.rows import Patched, PatchedGrid, PatchedPair
from llm_codes.lenses.patching.study import activation_patching
from llm_codes.lenses.patching.together import corrected_rows, patched_rows
from llm_codes.models import load_model

N = 30
Table = tuple[PatchedGrid, ...]


def pairs_with(restored: float, other: float, seed: int = 0) -> list[PatchedPair]:
    """Pairs of one site with these means, and another with none."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (N, 4))

    def grid(draw: np.ndarray) -> PatchedGrid:
        own, null = (((value + e,), (f,)) for value, e, f in ((restored, draw[0], draw[1]), (other, draw[2], draw[3])))
        return PatchedGrid("attn_out", ("layer 0", "layer 1"), ("last token",), own, null)

    return [PatchedPair(2.0, 0.0, (grid(draw),)) for draw in noise]


def judged(found: list[PatchedPair], beside: list[PatchedPair]) -> list[Patched]:
    return corrected_rows(patched_rows(found, beside, np.arange(len(found))))


@pytest.mark.parametrize(
    ("restored", "other", "untrained", "beyond"),
    [(0.5, 0.0, 0.0, True), (0.5, 0.5, 0.0, False), (0.5, 0.0, 0.5, False), (-0.5, 0.0, 0.0, False)],
)
def test_a_site_is_beyond_only_where_both_controls_fall_short(
    restored: float, other: float, untrained: float, beyond: bool
) -> None:
    rows = judged(pairs_with(restored, other), pairs_with(untrained, 0.0, seed=1))
    assert [row.beyond for row in rows] == [beyond, False]
    assert rows[0].restored.n == N and rows[0].restored.value == pytest.approx(restored, abs=0.1)
    assert rows[0].holm is not None and rows[0].p is not None and rows[0].holm >= rows[0].p


def test_without_a_control_or_an_interval_nothing_is_told() -> None:
    alone = judged(pairs_with(0.5, 0.0), [])
    assert alone[0].beyond is None and alone[0].untrained.reason == "not measured"
    few = pairs_with(0.5, 0.0)[:5]
    rows = judged(few, few)
    assert {row.beyond for row in rows} == {None} and rows[0].p is None
    assert "5 documents" in (rows[0].restored.interval_reason or "")
    grid = few[0].grids[0]
    lonely = [replace(one, grids=(replace(grid, other_pair=((None,), (None,))),)) for one in few]
    assert judged(lonely, few)[0].other_pair.reason == "no pair of another document"


def test_pairs_of_one_document_count_as_one() -> None:
    rows = patched_rows(pairs_with(0.5, 0.0), [], np.repeat(np.arange(3), 10))
    assert rows[0].pairs == N and rows[0].restored.n == 3


def test_corrections_are_within_each_table() -> None:
    row = judged(pairs_with(0.5, 0.0), [])[0]
    rows = [replace(row, part=part, p=0.01) for part in ("resid_pre", "attn_out", "heads", "paths", "paths", "paths")]
    assert [round(float(one.holm or 0), 3) for one in corrected_rows(rows)] == [0.02, 0.02, 0.01, 0.03, 0.03, 0.03]


def random_pairs() -> list[Pair]:
    """Pairs of random text, one word changed."""
    words = np.random.default_rng(0).integers(1, 320, (22, 7))
    rows = [tuple(row.tolist()) for row in words]
    return [Pair("", (0, *row[:5]), (0, row[0], row[5], *row[2:5]), 1, 2, n) for n, row in enumerate(rows)]


def test_nothing_of_an_untrained_network_is_beyond_another_one(tiny_model_folder: Path) -> None:
    model = load_model(tiny_model_folder, dtype="float64")
    pairs = own_tokens(model, random_pairs())
    settings = {"least_drop": 1e-6, "features": 0}
    found = activation_patching(model, pairs, seed=3, **settings)  # type: ignore[arg-type]
    assert found.untrained_pairs == len(pairs) and {row.beyond for row in found.patched} == {False}
    assert found.features is None and found.features_reason == "none were asked for"
    assert {row.part for row in found.patched} == {"resid_pre", "attn_out", "mlp_out", "heads", "paths"}
    first = next(row for row in found.patched if (row.row, row.column) == ("layer 0", "position 2"))
    assert first.restored.value == pytest.approx(1), "the word itself put back is the clean prompt"
    with pytest.raises(UserError, match=r"expected pairs whose corruption lowers the logit difference by 50; got none"):
        activation_patching(model, pairs, least_drop=50.0, features=0, control=False)
