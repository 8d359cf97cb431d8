"""Processes share pieces: each is computed once, by one of them; all have all; a failure ends every process."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from eval.errors import UserError
from eval.pieces import Pieces
from eval.processes import alone, is_main_process, process_group, rank, world_size
from eval.runs import Run
from eval.shared_work import once, shared_out
from tests.several import together

OF = ("eval.scores",)


def _piece(number: int, notes: str) -> int:
    assert (rank(), world_size()) == (0, 1), "a piece is computed as one process would"
    with Path(notes).open("a", encoding="utf-8") as handle:
        handle.write(f"{os.environ.get('RANK', '0')} {number}\n")
    return number * number


def _with_arrays(number: int, notes: str) -> tuple[int, dict[str, np.ndarray]]:
    return _piece(number, notes), {"values": np.full(2, float(number))}


def _study(folder: str, notes: str, count: int, broken: int = -1) -> None:
    with process_group():
        pieces = Pieces(Run(folder), OF)
        given = {f"piece-{n}": partial(_fails if n == broken else _piece, n, notes) for n in range(count)}
        values = pieces.items(int, given)
        arrays = pieces.all_with_arrays(int, {f"array-{n}": partial(_with_arrays, n, notes) for n in range(3)})
        single = pieces.item("single", int, partial(_piece, 100, notes))
        found = [values, [(value, own["values"].tolist()) for value, own in arrays], single, once(lambda: rank())]
        Path(notes + f".found{rank()}").write_text(json.dumps(found), encoding="utf-8")


def _fails(number: int, notes: str) -> int:
    raise UserError(f"piece {number} cannot be computed")


EXPECTED = [[0, 1, 4, 9, 16], [[0, [0.0, 0.0]], [1, [1.0, 1.0]], [4, [2.0, 2.0]]], 10000, 0]


def test_each_piece_is_computed_once_and_every_process_has_all(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    ended = together(_study, (str(tmp_path / "run"), str(notes), 5), notes)
    assert ended.statuses == (0, 0), ended.said
    for number in range(2):
        assert json.loads(Path(f"{notes}.found{number}").read_text()) == EXPECTED
    lines = [line.split() for line in notes.read_text().splitlines()]
    assert sorted(int(number) for _, number in lines) == sorted([*range(5), *range(3), 100])
    assert {number for who, number in lines if who == "1"} >= {"1", "3"}, "the second process computed its share"
    kept = {path.stem for path in (tmp_path / "run" / "items").glob("*.json")}
    assert kept == {*(f"piece-{n}" for n in range(5)), *(f"array-{n}" for n in range(3)), "single"}


def test_a_failure_in_one_process_ends_both_and_the_same_command_goes_on(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    ended = together(_study, (str(tmp_path / "run"), str(notes), 5, 3), notes)
    assert ended.statuses == (1, 1), ended.said
    assert "piece 3 cannot be computed" in ended.said[1]
    assert "expected process 1 to finish its piece of the work; it failed: piece 3 cannot" in ended.said[0]
    assert {path.stem for path in (tmp_path / "run" / "items").glob("*.json")} == {"piece-0", "piece-1"}
    notes.unlink()
    assert together(_study, (str(tmp_path / "run"), str(notes), 5), notes).statuses == (0, 0)
    assert {line.split()[1] for line in notes.read_text().splitlines()} >= {"2", "3", "4"}
    assert [line.split()[1] for line in notes.read_text().splitlines()].count("0") == 1, "only the array of that name"


def test_one_process_shares_with_nobody(tmp_path: Path) -> None:
    kept: list[tuple[str, int]] = []
    found = shared_out({"a": lambda: 1, "b": lambda: 2}, lambda name, value: kept.append((name, value)))
    assert found == {"a": 1, "b": 2} and kept == [("a", 1), ("b", 2)]
    assert once(lambda: 3) == 3
    with pytest.raises(UserError, match="cannot be computed"):
        shared_out({"a": lambda: _fails(1, "")})


def test_alone_hides_the_others_and_not_who_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with alone():
        assert (rank(), world_size(), is_main_process()) == (0, 1, False)
    assert (rank(), world_size(), is_main_process()) == (1, 2, False)
