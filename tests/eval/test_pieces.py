"""Pieces are computed once where a run keeps them, every time where none does, and are the same either way."""

from __future__ import annotations

import numpy as np

from eval.pieces import Pieces
from eval.results import Result, result
from eval.runs import Run
from eval.scores import Score


@result
class Row(Result):
    name: str
    score: Score


ROW = Row("a", Score(1.5, 1.0, 2.0, 7))
CALLS: list[str] = []


def rows() -> tuple[Row, ...]:
    CALLS.append("rows")
    return (ROW, ROW)


def row_with_arrays() -> tuple[Row, dict[str, np.ndarray]]:
    CALLS.append("row")
    return ROW, {"values": np.arange(3)}


def test_a_run_keeps_pieces_and_a_script_does_not(tmp_path) -> None:
    for pieces, expected in ((Pieces(), 4), (Pieces(Run(tmp_path), ("eval.scores",), "part-"), 2)):
        CALLS.clear()
        for _ in range(2):
            assert pieces.item("rows", tuple[Row, ...], rows) == (ROW, ROW)
            found, arrays = pieces.with_arrays("row", Row, row_with_arrays)
            assert found == ROW and arrays["values"].tolist() == [0, 1, 2]
        assert len(CALLS) == expected
    assert {path.name for path in tmp_path.glob("items/*.json")} == {"part-rows.json", "part-row.json"}


def test_parts_have_names_of_their_own(tmp_path) -> None:
    pieces = Pieces(Run(tmp_path), ("eval.scores",))
    for part in ("one-", "two-"):
        pieces.below(part).item("rows", tuple[Row, ...], rows)
    assert {path.name for path in tmp_path.glob("items/*.json")} == {"one-rows.json", "two-rows.json"}
