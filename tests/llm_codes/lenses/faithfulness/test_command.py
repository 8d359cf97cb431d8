"""`circuit curve` on the embedded model, and the gates it stands on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_codes.__main__ import main


def test_curves_of_few_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    few = ["--per-kind", "1", "--tokens", "1500", "--context", "14", "--steps", "2", "--graph-features", "100"]
    arguments = ["circuit", "curve", *few, "--probability", "0.05", "--out", str(out)]
    assert main(arguments) == 0
    results = json.loads((out / "results.json").read_text())
    whole = [row for row in results["curves"] if row["prompts"] == "all"]
    assert {row["nodes"] for row in whole} == {"features", "shuffled features", "neurons"}
    for row in whole:
        ends = [point["faithfulness"] for point in (row["points"][0], row["points"][-1])]
        assert ends[0] == pytest.approx(0, abs=1e-6)
        if row["errors"] != "ablated":  # every node kept and the errors with them: the model itself
            assert ends[1] == pytest.approx(1, abs=1e-3)
    assert len(results["claims"]) == 8 and results["stability"][0]["kind"] == "all"
    page = (out / "report.html").read_text()
    assert "Licensed: " in page and "not measured" in page and "<svg" in page

    def again(*_: object, **__: object) -> None:
        raise AssertionError("a prompt that was done before is done again")

    monkeypatch.setattr("llm_codes.lenses.faithfulness.study.curves_of_prompt", again)
    (out / "results.json").unlink()
    assert main(arguments) == 0
    assert json.loads((out / "results.json").read_text())["curves"] == results["curves"]


def test_text_without_a_place_that_is_right_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--per-kind", "1", "--tokens", "30", "--context", "12", "--probability", "0.9999"]
    assert main(["circuit", "curve", *few, "--out", str(tmp_path / "run")]) != 0
    words = "expected places that the model gets right; got none; raise --tokens or lower --probability"
    assert words in capsys.readouterr().err
