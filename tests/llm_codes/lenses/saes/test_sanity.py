"""`sae train --baseline` on one pass, `sae eval --baselines --partner` beside them: results, page, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.scores import Score
from llm_codes.__main__ import main
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.sanity import _share, baseline_of

NAME = "blocks.1.mlp.hook_out-topk-128"


@pytest.fixture(scope="module")
def inputs(tiny_model_folder: Path, text_folder: Path) -> list[str]:
    return ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--threads", "1"]


@pytest.fixture(scope="module")
def trained(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sae") / "run"
    options = "--sites mlp_out --layers 1 --width 2x --k 6 --split all --tokens 4096 --train-batch-size 128".split()
    kinds = ["--baseline", "none,frozen-decoder,frozen-encoder", "--block-windows", "16"]
    assert main(["sae", "train", *inputs, *options, *kinds, "--out", str(out)]) == 0
    return out


def evaluate(inputs: list[str], trained: Path, out: Path, *more: str) -> int:
    options = ["--split", "all", "--tokens", "2000", "--dashboards", "0", "--sae", str(trained / NAME)]
    return main(["sae", "eval", *inputs, *options, *more, "--out", str(out)])


def test_a_dictionary_stands_beside_its_baselines(inputs: list[str], trained: Path, tmp_path: Path) -> None:
    kinds = ("frozen-decoder", "frozen-encoder")
    assert [baseline_of(load_sae(trained / f"{NAME}-{kind}")) for kind in kinds] == list(kinds)
    folders = ",".join(str(trained / f"{NAME}-{kind}") for kind in kinds)
    assert evaluate(inputs, trained, tmp_path / "run", "--baselines", folders, "--partner", str(trained / NAME)) == 0
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert [row["baseline"] for row in results["baselines"]] == list(kinds)
    for row in results["baselines"]:
        share = (1 - row["fvu"]) / (1 - results["fvu"])
        assert row["explained_reached"] == pytest.approx(share)
    assert results["stability"]["share"] == 1.0  # its own partner
    assert results["stability"]["share_random"] < 0.2
    page = (tmp_path / "run/report.html").read_text()
    assert "Beside random baselines" in page and "of the variance that this dictionary explains" in page


def test_what_was_not_measured_is_said(inputs: list[str], trained: Path, tmp_path: Path) -> None:
    assert evaluate(inputs, trained, tmp_path / "run") == 0
    page = (tmp_path / "run/report.html").read_text()
    assert "Not measured: no --baselines" in page and "not measured: no --partner" in page


def test_a_baseline_of_another_place_is_refused(
    inputs: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--sites mlp_in --layers 1 --width 2x --k 6 --split all --tokens 1024 --train-batch-size 128".split()
    other = tmp_path / "other"
    assert main(["sae", "train", *inputs, *options, "--block-windows", "16", "--out", str(other)]) == 0
    assert evaluate(inputs, trained, tmp_path / "run", "--baselines", str(other)) == 2
    assert "expected dictionaries of blocks.1.mlp.hook_out in --baselines; got" in capsys.readouterr().err


def test_the_dictionary_of_an_untrained_model_is_measured_on_that_model(
    inputs: list[str], trained: Path, tmp_path: Path
) -> None:
    options = "--sites mlp_out --layers 1 --width 2x --k 6 --split all --tokens 4096 --train-batch-size 128".split()
    fresh = tmp_path / "untrained"
    more = ["--block-windows", "16", "--untrained", "--out", str(fresh)]
    assert main(["sae", "train", *inputs, *options, *more]) == 0
    sae = load_sae(fresh)
    assert sae.metadata["untrained_seed"] == 0 and baseline_of(sae) == "untrained model"
    folders = f"{trained}/{NAME}-frozen-decoder,{fresh},{trained}/{NAME}"
    assert evaluate(inputs, trained, tmp_path / "run", "--baselines", folders) == 0
    results = json.loads((tmp_path / "run/results.json").read_text())
    kinds = [row["baseline"] for row in results["baselines"]]
    assert kinds == ["frozen-decoder", "untrained model", "another dictionary"]
    assert results["baselines"][2]["fvu"] == results["fvu"]  # itself, on the same walk
    assert results["baselines"][1]["training_tokens"] == 4096
    words = ["--split", "all", "--tokens", "2000", "--dashboards", "0"]
    assert main(["sae", "eval", *inputs, *words, "--sae", str(fresh), "--out", str(tmp_path / "own")]) == 0
    own = json.loads((tmp_path / "own/results.json").read_text())
    assert own["provenance"]["model"]["untrained"]
    assert (own["fvu"], own["kl"]) == (results["baselines"][1]["fvu"], results["baselines"][1]["kl"])
    page = (tmp_path / "run/report.html").read_text()
    assert "of the variance that this dictionary explains" in page and "another dictionary reaches" not in page


def test_a_share_of_nothing_is_undefined() -> None:
    assert _share(0.3, 0.0).reason == "the dictionary itself explains or recovers nothing"
    assert _share(None, 0.5).value is None
    assert _share(0.3, 0.6) == Score(0.5, interval_reason="a ratio of two scores; their intervals stand beside")


def test_a_rerun_reads_the_baselines_back(
    inputs: list[str], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--baselines", str(trained / f"{NAME}-frozen-decoder"))
    assert evaluate(inputs, trained, tmp_path / "run", *more) == 0
    first = json.loads((tmp_path / "run/results.json").read_text())["baselines"]
    monkeypatch.setattr("llm_codes.lenses.saes.command.beside", lambda *_, **__: pytest.fail("measured again"))
    assert evaluate(inputs, trained, tmp_path / "run", *more) == 0
    assert json.loads((tmp_path / "run/results.json").read_text())["baselines"] == first


def test_a_tied_baseline_is_refused_before_any_work(inputs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sae", "train", *inputs, "--tied", "--baseline", "frozen-decoder", "--out", "nowhere"]) == 2
    assert "expected an untied dictionary for --baseline frozen-decoder" in capsys.readouterr().err
