"""One table over runs: claims at any depth, the tally, a CSV file, and one line where there is nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from eval.__main__ import main
from eval.claims import Claim
from eval.claims_table import claims_of_runs
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
    assert shown.startswith("1 hold, 1 hold, and so does their control, 0 fail, 0 cannot tell")
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 3


def test_each_row_says_what_it_rests_on(tmp_path: Path, capsys: pytest.CaptureFixture):
    one = Claim(
        "first statement", "MK Fig. 1", "bits a neuron above 1", 2.0, "cannot tell", (1.5, 2.5), tolerance=0.25,
        controls={"untrained": Score(0.1, 0.0, 0.2)}, family="capacity", p=0.04, uncorrected="holds",
        units="bits",
    )  # fmt: skip
    run_folder(tmp_path / "a", {"claims": [one.to_json()]})
    assert main(["claims", str(tmp_path / "a"), "--csv", str(tmp_path / "all.csv")]) == 0
    (row,) = csv.DictReader((tmp_path / "all.csv").read_text().splitlines())
    assert row == {
        "run": "a", "verdict": "cannot tell", "claim": "first statement", "source": "MK Fig. 1",
        "estimand": "bits a neuron above 1", "units": "bits", "measured": "2.0", "interval": "[1.5, 2.5]",
        "controls": "untrained 0.1 [0, 0.2]", "margin": "0.25", "family": "capacity", "p": "0.04",
        "before correction": "holds", "kind": "statement of a source", "note": "",
    }  # fmt: skip


def test_only_statements_and_predictions_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture):
    kinds = ("statement of a source", "prediction of ours", "theorem", "self-test")
    claims = [Claim(f"the {kind}", "s", "p", 1.0, "holds", kind=kind).to_json() for kind in kinds]
    run_folder(tmp_path / "a", {"claims": claims})
    assert main(["claims", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("2 hold, 0 fail, 0 cannot tell (apart: 2 of 2 theorems and self-tests pass)")
    before, after = shown.split("Theorems and self-tests, not counted:")
    assert "the prediction of ours" in before and "the theorem" in after and "the self-test" not in before


def test_claims_are_found_under_any_key_and_once_a_run(tmp_path: Path, capsys: pytest.CaptureFixture):
    one = Claim("at one length", "MK", "p", 1.0, "fails").to_json()
    short = {"claim": "short form", "verdict": "holds", "measured": 1.0}
    results = {"by_length": [{"length": "short", **one}], "claims": [one], "predictions": [short]}
    run_folder(tmp_path / "a,b", results)
    assert main(["claims", str(tmp_path / "a,b"), str(tmp_path)]) == 0  # a comma is part of a path; a run counts once
    shown = capsys.readouterr().out
    assert shown.startswith("0 hold, 1 fail") and "short form" not in shown


def test_runs_of_several_folders_keep_their_places_apart(tmp_path: Path):
    one = Claim("c", "MK", "p", 1.0, "fails").to_json()
    for name in ("x/run", "y/run"):
        run_folder(tmp_path / name, {"claims": [one]})
    found = claims_of_runs([str(tmp_path / "x"), str(tmp_path / "y")])
    assert [run for run, _ in found] == ["x/run", "y/run"]


def test_the_page_escapes_what_runs_wrote_and_loads_nothing(tmp_path: Path):
    attack = "<script>alert(1)</script>"
    hostile = Claim(attack, attack, attack, 1.0, "holds", note=attack, family=attack, controls={attack: Score(0.1)})
    apart = Claim(attack, "s", "p", 1.0, "holds", kind="theorem")
    run_folder(tmp_path / "<b>run", {"claims": [hostile.to_json(), apart.to_json()]})
    assert main(["claims", str(tmp_path), "--html", str(tmp_path / "all.html")]) == 0
    page = (tmp_path / "all.html").read_text()
    assert attack not in page and "<b>run" not in page and "&lt;script&gt;alert(1)" in page
    assert "http://" not in page and "https://" not in page
    assert page.index('<span class="verdict holds"><b>1</b> holds</span>') < page.index(
        "Statements of sources and predictions of ours"
    )
    assert page.index("Statements of sources") < page.index("Theorems and self-tests: not counted")


def test_nothing_to_show_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["claims", str(tmp_path)]) == 2
    assert "expected runs with claims below" in capsys.readouterr().err
    run_folder(
        tmp_path / "a",
        {"claims": [dict.fromkeys(["claim", "source", "prediction", "measured", "verdict", "kind"], "x")]},
    )
    assert main(["claims", str(tmp_path)]) == 2
    assert "expected results with claims in" in capsys.readouterr().err
