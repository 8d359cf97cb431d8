"""One table over runs: claims at any depth, the tally, a CSV file, and one line where there is nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.__main__ import main
from eval.claims import Claim
from eval.run_marker import MARKER
from eval.scores import Score


def run_folder(folder: Path, results: object) -> None:
    folder.mkdir(parents=True)
    (folder / MARKER).write_text("{}")
    (folder / "results.json").write_text(json.dumps(results))


def test_claims_of_all_runs_stand_in_one_table(tmp_path: Path, capsys: pytest.CaptureFixture):
    one = Claim("first statement", "MK", "p", 1.0, "holds", (0.5, 1.5), controls={"untrained": Score(0.1, 0.0, 0.2)})
    other = Claim("second statement", "PL", "p", 1.0, "holds, and so does its control", uncorrected="holds")
    run_folder(tmp_path / "a", {"claims": [one.to_json()]})
    run_folder(tmp_path / "b" / "report", {"polytopes": {"claims": [other.to_json()]}, "claims": []})
    run_folder(tmp_path / "c", {"sites": []})
    assert main(["claims", str(tmp_path), "--csv", str(tmp_path / "all.csv")]) == 0
    shown = capsys.readouterr().out
    assert "first statement" in shown and "second statement" in shown and "untrained 0.1 [0, 0.2]" in shown
    assert "1 hold, 1 hold, and so does their control, 0 fail, 0 cannot tell" in shown
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 3


def test_nothing_to_show_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["claims", str(tmp_path)]) == 2
    assert "expected runs with claims below" in capsys.readouterr().err
    run_folder(tmp_path / "a", {"claims": [{"verdict": "holds"}]})
    assert main(["claims", str(tmp_path)]) == 2
    assert "expected results with claims in" in capsys.readouterr().err
