"""`sae replacement` on the embedded model: table, figure, claims; a layer done before is read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_codes.__main__ import main


def test_layers_one_by_one_and_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    out = tmp_path / "run"
    arguments = ["sae", "replacement", "--tokens", "640", "--context", "32", "--fit-tokens", "800", "--out", str(out)]
    assert main(arguments) == 0
    results = json.loads((out / "results.json").read_text())
    places = {row["layer"] for row in results["replacements"]}
    assert places == {"0", "1", "2", "3", "4", "5", "all"} and len(results["replacements"]) == 28
    assert "linear maps" in capsys.readouterr().out
    assert [claim["controls"] is not None for claim in results["claims"]] == [True, True]
    page = (out / "report.html").read_text()
    assert "<svg" in page and "All layers at once" in page

    def again(*_: object) -> None:
        raise AssertionError("a layer that was done before is done again")

    monkeypatch.setattr("llm_codes.lenses.replacement.study._Passes.sums", again)
    (out / "results.json").unlink()
    assert main(arguments) == 0
    assert json.loads((out / "results.json").read_text())["replacements"] == results["replacements"]


def test_a_folder_without_transcoders_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sae", "replacement", "--transcoders", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if not line.endswith("so far")]) == 1  # a heartbeat may come first
