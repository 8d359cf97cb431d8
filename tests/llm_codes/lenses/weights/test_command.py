"""`circuit weights` on the embedded model: two tables, claims, a page; pieces done before are read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_codes.__main__ import main
from llm_codes.lenses.weights.methods import METHODS, VIRTUAL

FEW = ["--targets", "10", "--candidates", "24", "--edges-per-feature", "12", "--fit-tokens", "1500", "--tokens", "1500"]


def test_tables_of_few_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    out = tmp_path / "run"
    arguments = [
        "circuit",
        "weights",
        *FEW,
        "--threads",
        "1",
        "--context",
        "32",
        "--windows-tested",
        "8",
        "--out",
        str(out),
    ]
    assert main(arguments) == 0
    results = json.loads((out / "results.json").read_text())
    assert [(row["method"], row["measured"]) for row in results["agreement"][: len(METHODS)]] == [
        (name, "direct") for name in METHODS
    ]
    assert {row["method"] for row in results["fits"]} == set(METHODS)
    assert len(results["claims"]) == 4 and results["tests"]
    virtual = [test for test in results["tests"] if test["predicted"][VIRTUAL] != 0]
    right = [test["predicted"][VIRTUAL] * test["direct"] > 0 for test in virtual]
    assert sum(right) >= 0.7 * len(right)  # a product of weights is the direct effect, but for norms and patterns
    page = (out / "report.html").read_text()
    assert "<svg" in page and "Held-out prediction" in page
    assert "weights by co-activation" in capsys.readouterr().out

    def again(*_: object, **__: object) -> None:
        raise AssertionError("a piece that was done before is done again")

    for name in ("fit_weights", "errors_by_document", "tests_of_window"):
        monkeypatch.setattr(f"llm_codes.lenses.weights.study.{name}", again)
    (out / "results.json").unlink()
    assert main(arguments) == 0
    assert json.loads((out / "results.json").read_text())["agreement"] == results["agreement"]


def test_more_edges_than_candidates_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["circuit", "weights", "--edges-per-feature", "97", "--out", str(tmp_path / "run")]) == 2
    words = "expected --edges-per-feature of at most --candidates (96); got 97; raise --candidates"
    assert words in capsys.readouterr().err
