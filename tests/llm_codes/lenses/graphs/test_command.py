"""`circuit graph` and `circuit test` on the embedded model: files, numbers, refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_codes.__main__ import main


def test_a_file_of_prompts_gives_graphs_json_and_tests(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("The people of the United\n\nThe House of\n")
    out = tmp_path / "run"
    arguments = ["--prompts", str(prompts), "--sources", "2", "--max-features", "300", "--out", str(out)]
    assert main(["circuit", "graph", *arguments]) == 0
    results = json.loads((out / "results.json").read_text())
    assert [row["targets"][0] for row in results["graphs"]][0] == " States"
    assert all(row["remainder"] < 1e-4 and row["kept"] == 300 for row in results["graphs"])
    assert results["tests"]["prompts"] == 2 and results["tests"]["n_tests"] > 0
    for name in results["files"]:
        assert json.loads((out / name).read_text())["metadata"]["scan"] == "embedded"
    page = (out / "report.html").read_text()
    assert "<svg" in page and "Do the edges hold?" in page


def test_edges_of_held_out_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    few = ["--prompt-count", "2", "--tokens", "400", "--context", "12", "--sources", "2", "--max-features", "300"]
    assert main(["circuit", "test", *few, "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["prompts"] == 2
    groups = {(row["group"], row["measured"]) for row in results["agreement"]}
    assert ("edges between features", "direct, null") in groups and ("to the first logit", "total") in groups
    exact = next(row for row in results["agreement"] if row["measured"] == "both held")
    assert exact["r2"] == pytest.approx(1, abs=1e-3)  # everything but the stream held: the edge itself

    def again(*_: object, **__: object) -> None:
        raise AssertionError("a window that was tested before is tested again")

    monkeypatch.setattr("llm_codes.lenses.graphs.command.tests_of_graph", again)
    (out / "results.json").unlink()
    assert main(["circuit", "test", *few, "--out", str(out)]) == 0
    assert json.loads((out / "results.json").read_text())["agreement"] == results["agreement"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", " "], "expected a text for --prompt; got an empty one; write some"),
        (["--prompts", "nowhere.txt"], "expected a file of prompts at nowhere.txt; found none; check the path"),
        (["--prompt", "a", "--against", "b"], "expected --target beside --against 'b'; got none"),
    ],
)
def test_refusals(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["circuit", "graph", *arguments, "--out", str(tmp_path / "run")]) != 0
    assert words in capsys.readouterr().err
