"""`explain` end to end on a tiny model: the contract of results.json, controls, continuation, errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.explanation.interchange.neuronpedia import read_explanations
from eval.explanation.units import Unit
from llm_codes.__main__ import main
from llm_codes.configs.explain import ExplainConfig, ExplainOptions, ServerOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.explain.backends import parse_backend
from llm_codes.lenses.explain.study import record
from llm_codes.lenses.explain.units import Readout, SiteMoments, centred, columns_of
from llm_codes.models import load_model
from llm_codes.sites import resolve_site


@pytest.fixture(scope="module")
def recorded(tiny_model_folder: Path, text_folder: Path):
    model = load_model(str(tiny_model_folder))
    corpus = load_corpus(str(text_folder), model.tokenizer, context=33, split="all")
    kinds = ("neuron", "random", "pca", "action", "cluster")
    found = record(model, corpus, units=kinds, per_layer=3, random_windows=20, top_windows=2, controls=("shuffled",))
    return model, corpus, found


def test_units_are_read_off_the_model_as_defined(recorded) -> None:
    model, corpus, found = recorded
    book = found.books["trained"]
    place = next(i for i, unit in enumerate(book.units) if unit.kind == "neuron" and unit.layer == 1)
    shown = book.random(place, "score")[0]
    tokens = torch.tensor(np.asarray(found.windows.tokens[shown.window]))[None]
    site = resolve_site(model, "mlp_post", 1)
    direct = model.activations(tokens, [site])[site.hook][0, 1:, book.units[place].index].relu()
    np.testing.assert_allclose(shown.values, direct.numpy(), atol=1e-5)


def test_no_document_is_shared_and_every_kind_is_there(recorded) -> None:
    _, _, found = recorded
    audit = found.audit()
    assert audit["shared_documents"] == audit["near_duplicates"] == 0
    kinds = [unit.kind for unit in found.books["trained"].units]
    assert {kind: kinds.count(kind) for kind in ("neuron", "random", "pca", "action")} == dict.fromkeys(
        ("neuron", "random", "pca", "action"), 6
    )


def test_the_shuffled_control_holds_the_same_activations_on_other_windows(recorded) -> None:
    _, _, found = recorded
    trained, shuffled = found.books["trained"], found.books["shuffled"]
    np.testing.assert_allclose(trained.scale, shuffled.scale, rtol=1e-6)
    assert not np.allclose(trained.shared_values("score"), shuffled.shared_values("score"))


def test_directions_are_centred_and_split_by_sign() -> None:
    site = resolve_site.__globals__["Site"]("h", "mlp_post", 0, 3, "")
    moments = SiteMoments([site])
    x = torch.tensor([[[0.0, 0, 0], [2.0, 0, 0], [4.0, 0, 0]]])
    moments.update({"h": x}, None, torch.ones(1, 3, dtype=torch.bool))  # type: ignore[arg-type]
    vectors = torch.tensor([[1.0], [0.0], [0.0]], dtype=torch.float64)
    readout = centred(Readout(site, (Unit("pca", 0, 0, "h"),), lambda y: y, vectors), moments)
    assert readout.read(x)[0].tolist() == [[0, 2], [0, 0], [2, 0]]
    assert columns_of([readout])[1] == [(0, 1)]
    assert moments.principal_directions("h", 1).abs().flatten().tolist() == pytest.approx([1, 0, 0])
    assert moments.mean_maximum("h").tolist() == [4, 0, 0]
    assert moments.fires("h").tolist() == [True, False, False]


def test_the_command_writes_its_contract_and_repeats_itself(
    tiny_model_folder: Path, text_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(out: str) -> dict:
        arguments = ["explain", "--model", str(tiny_model_folder), "--corpus", str(text_folder), "--tokens", "9000"]
        arguments += [
            "--window",
            "32",
            "--per-layer",
            "3",
            "--resamples",
            "50",
            "--out",
            str(tmp_path / out),
            "--records",
        ]
        assert main(arguments) == 0
        return json.loads((tmp_path / out / "results.json").read_text())

    first, second = run("a"), run("b")
    assert {"kind", "layer", "n", "undefined", "mean", "ci"} <= first["by_layer"][0].keys()
    assert {"layer", "a", "b", "difference", "ci", "p", "n"} <= first["paired"][0].keys()
    assert first["leakage"]["shared_documents"] == first["leakage"]["near_duplicates"] == 0
    assert {"requests", "usd"} <= first["cost"].keys() and first["provenance"]["model"]["n_layers"] == 2
    for key in ("by_layer", "paired", "null", "by_score", "claims"):
        assert first[key] == second[key]
    rows = [json.loads(line) for line in (tmp_path / "a" / "scores.jsonl").read_text().splitlines()]
    assert len(rows) == 3 * 3 * 2 * 3  # kinds, units, layers, conditions
    assert {row["condition"] for row in rows} == {"trained", "shuffled", "untrained"}
    assert "correlation" in rows[0]["scores"]["random"] and rows[0]["explanation"]
    names = {path.name for path in (tmp_path / "a").rglob("*")}
    assert {"report.html", "score_by_depth.pdf", "by_layer.csv", "neuron_L0_{}.json".format(rows[0]["index"])} <= names
    assert {"predictions.parquet", "activations.json", "neuron_L0_{}.jsonl".format(rows[0]["index"])} <= names
    (told, *_) = read_explanations(tmp_path / "a" / "neuronpedia" / "explanations.json")
    assert (told.layer, told.index, told.description) == ("0-mlp", rows[0]["index"], rows[0]["explanation"])
    assert told.explained_by == "decision-list"
    assert "neuron" in capsys.readouterr().out
    rescored = tmp_path / "rescored"
    words = f"explain rescore {tmp_path / 'a'} --metric correlation --out {rescored}"
    assert main(words.split()) == 0 and "correlation on random windows" in capsys.readouterr().out
    again = json.loads((rescored / "results.json").read_text())
    wanted = {row["unit"]: row["scores"]["random"]["correlation"] for row in rows if row["condition"] == "trained"}
    found = {row["unit"]: row["score"] for row in again["units"] if not row["kind"].endswith(")")}
    assert found == pytest.approx(wanted, abs=1e-9)


def test_what_units_do_is_printed_and_scored_by_steering(
    tiny_model_folder: Path, text_folder: Path, tmp_path: Path
) -> None:
    arguments = f"explain --model {tiny_model_folder} --corpus {text_folder} --tokens 9000 --window 32 --per-layer 2 "
    arguments += "--layers 1 --units neuron --explainer steering-effect --scorers intervention --questions 2 "
    arguments += f"--random-windows 20 --resamples 50 --seed 5 --out {tmp_path}"
    assert main(arguments.split()) == 0
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    neurons = [row for row in rows if row["unit"].startswith("neuron") and row["condition"] == "trained"]
    assert all(row["explanation"].count("`") == 24 and row["bits"] > 0 for row in neurons)
    assert all(0 <= row["tasks"]["intervention"]["balanced_accuracy"] <= 1 for row in neurons)
    fresh = {row["unit"]: row["explanation"] for row in rows if row["condition"] == "untrained"}
    assert all(fresh[row["unit"]] != row["explanation"] for row in neurons)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lookup", "unknown --explainer 'lookup': did you mean token-lookup"),
        ("local:", "expected a model after local:"),
    ],
)
def test_unknown_explainers_are_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_backend(text, "--explainer")


def test_words_cannot_be_read_as_a_rule(tiny_model_folder: Path, tmp_path: Path, capsys) -> None:
    out = str(tmp_path / "x")
    arguments = ["explain", "--model", str(tiny_model_folder), "--explainer", "openai:m", "--out", out]
    assert main([*arguments, "--window", "32"]) == 2
    assert "the simulator rules cannot read the words of openai:m" in capsys.readouterr().err


def test_vllm_is_refused_where_it_is_not_installed(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    words = f"explain --model {tiny_model_folder} --explainer vllm:m --simulator vllm:m --window 32 --out {tmp_path}/x"
    assert main(words.split()) == 2
    assert "expected the package vllm for vllm:m; it is not installed; pip install" in capsys.readouterr().err


def test_a_missing_sae_folder_is_named(recorded) -> None:
    model, corpus, _ = recorded
    with pytest.raises(UserError, match="expected an SAELens folder"):
        record(model, corpus, units=("sae:/nowhere",), controls=())
    with pytest.raises(UserError, match="unknown control 'shufled': did you mean shuffled"):
        record(model, corpus, controls=("shufled",))


def test_the_configuration_explains_every_field() -> None:
    import dataclasses

    for kind in (ExplainConfig, ExplainOptions, ServerOptions):
        fields = [field for field in dataclasses.fields(kind) if not field.metadata.get("nested")]
        assert all(field.metadata["help"] for field in fields)
