"""`circuit patch`: pairs of a file on a tiny model, and made pairs on the embedded one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_codes.__main__ import main

PAIRS = [
    {
        "clean": "the cat sat on the",
        "corrupted": "the dog sat on the",
        "target": " mat",
        "foil": " cat",
        "kind": "animals",
    },
    {"clean": "the dog ran after", "corrupted": "the cat ran after", "target": " the", "foil": " cat"},
]


@pytest.fixture
def both_ways(tmp_path: Path) -> Path:
    """Each pair in both directions: in an untrained model one of them drops."""
    path = tmp_path / "pairs.jsonl"
    turned = [{**row, "clean": row["corrupted"], "corrupted": row["clean"]} for row in PAIRS]
    path.write_text("\n".join(json.dumps(row) for row in (*PAIRS, *turned)))
    return path


def results_of(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def test_pairs_of_a_file_are_patched_and_finished_ones_are_kept(
    tiny_model_folder: Path, both_ways: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    arguments = ["circuit", "patch", "--model", str(tiny_model_folder), "--pairs", str(both_ways), "--paths", "heads"]
    arguments += ["--least-drop", "1e-9", "--out", str(out)]
    assert main(arguments) == 0
    results = results_of(out)
    parts = {row["part"] for row in results["patched"]}
    assert parts == {"resid_pre", "attn_out", "mlp_out", "heads", "paths"}
    assert {row["beyond"] for row in results["patched"]} == {None}, "two pairs have no interval"
    assert {kind["kind"] for kind in results["kinds"]} == {"animals", "from a file"}
    assert [sum(kind[name] for kind in results["kinds"]) for name in ("pairs", "left_out")] == [2, 2]
    assert results["features"] is None and "no transcoders ship for" in results["features_reason"]
    page = (out / "report.html").read_text()
    assert page.count("<figure") == 3 and "Beyond both controls: 0 of" in page and "cannot be told" in page
    assert "an interval resampled over documents needs at least 20" in page and "Licensed: none" in page
    assert (out / "tables" / "patched.csv").read_text().startswith("part,row,column,pairs,restored")

    def again(*_: object, **__: object) -> None:
        raise AssertionError("a pair that was done before is done again")

    monkeypatch.setattr("llm_codes.lenses.patching.study.patched_pair", again)
    (out / "results.json").unlink()
    assert main(arguments) == 0
    assert results_of(out)["patched"] == results["patched"]


def test_pairs_are_made_of_text_and_features_patched(tmp_path: Path) -> None:
    few = ["--per-kind", "2", "--tokens", "2400", "--context", "11", "--probability", "0.05", "--least-drop", "0.01"]
    arguments = ["circuit", "patch", *few, "--features", "2", "--paths", "none", "--no-control"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    results = results_of(tmp_path / "run")
    assert results["features"]["count"] == 2 and len(results["strongest"]) >= 2 and results["untrained_pairs"] == 0
    assert results["features"]["everything_n"] == len({row["pair"] for row in results["strongest"]})
    page = (tmp_path / "run" / "report.html").read_text()
    assert "one word before the last is changed" in page and "all that differ" in page


def test_text_too_short_for_a_pair_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--per-kind", "1", "--tokens", "300", "--context", "11", "--probability", "0.02", "--threads", "1"]
    assert main(["circuit", "patch", *few, "--out", str(tmp_path / "run")]) == 2
    assert "no word of any prompt had another to change to; read more text" in capsys.readouterr().err


def test_more_memory_than_allowed_is_refused_before_any_work(
    tiny_model_folder: Path, both_ways: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["circuit", "patch", "--model", str(tiny_model_folder), "--pairs", str(both_ways)]
    assert main([*given, "--max-memory-gb", "1e-6", "--out", str(tmp_path / "run")]) == 2
    assert "raise --max-memory-gb" in capsys.readouterr().err and not (tmp_path / "run" / "results.json").exists()


def test_a_line_that_is_no_pair_ends_the_run(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}")
    given = ["circuit", "patch", "--model", str(tiny_model_folder), "--pairs", str(path)]
    assert main([*given, "--out", str(tmp_path / "other")]) != 0
    assert "expected texts clean, corrupted, target, foil at line 1 of pairs.jsonl" in capsys.readouterr().err
