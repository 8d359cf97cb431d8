"""`circuit`, `connector eval` and `connector show` end to end: documented keys, pages, continued by item."""

import json
import re
import shutil

import pytest
import torch

from eval.measures.connectors.connector import Connector
from llm_codes.__main__ import main
from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.connectors.files import save_connector
from llm_codes.lenses.saes.study import train_saes
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.models import load_model
from llm_codes.sites import resolve_site

FIT = TrainingOptions(tokens=8 * 128, train_batch_size=128, block_windows=16)


@pytest.fixture(scope="module")
def chain(tiny_model_folder, text_folder, tmp_path_factory):
    """Flags that name a tiny model, its text, and a chain whose connector hands every feature on."""
    model = load_model(str(tiny_model_folder))
    corpus = load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=1500, split="all")
    out = tmp_path_factory.mktemp("chain")
    specs = [SAESpec(resolve_site(model, name, 1).hook, 64, 128, k=6) for name in ("mlp_in", "mlp_out")]
    for name, path in zip(("mlp_in", "mlp_out"), train_saes(model, corpus, specs, out, FIT), strict=True):
        path.rename(out / name)
    save_connector(Connector.from_dense(torch.eye(128), torch.zeros(128), "relu"), out / "connector")
    text = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--split", "all"]
    parts = ["--connector", str(out / "connector"), "--from", str(out / "mlp_in"), "--to", str(out / "mlp_out")]
    return [*text, *parts, "--tokens", "1500", "--threads", "1"]


def results(folder):
    return {k: v for k, v in json.loads((folder / "results.json").read_text("utf-8")).items() if k != "provenance"}


def refuse(*arguments, **options):
    raise AssertionError("measured again")


def test_the_circuit_is_read_back_and_not_looked_for_again(chain, tmp_path, monkeypatch):
    command = ["circuit", *chain, "--outputs", "5", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    first, page = results(tmp_path / "run"), (tmp_path / "run" / "circuit.html").read_text("utf-8")
    assert set(first) == {"outputs", "inputs", "edges", "errors", "page", "graph", "order"}
    assert set(first["errors"]) == {"first", "second", "connector"} and first["outputs"] == len(first["order"])
    monkeypatch.setattr("llm_codes.lenses.circuits.command.harvest_pairs", refuse)
    (tmp_path / "run" / "circuit.html").unlink()
    assert main(command) == 0
    assert results(tmp_path / "run") == first
    again = (tmp_path / "run" / "circuit.html").read_text("utf-8")
    data = re.compile(r'<script[^>]*id="circuit-data"[^>]*>(.*?)</script>', re.S)
    assert data.search(page)[1] == data.search(again)[1]


def test_connector_eval_continues_with_the_pieces_it_lacks(chain, tmp_path, monkeypatch):
    sizes = ["--fit-tokens", "1500", "--frontier", "1", "--frontier-steps", "5", "--edges-tested", "5"]
    command = ["connector", "eval", *chain, *sizes, "--logic-outputs", "4", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    first = results(tmp_path / "run")
    assert set(first) >= {"scorecard", "controls", "n_tokens", "frontier", "edge_validation", "logic_forms", "circuits"}
    assert set(first) >= {"edges_per_output", "edges_per_output_analytic", "l0", "missing_rows", "claims"}
    for piece in (tmp_path / "run" / "items").glob("edge-validation*"):
        shutil.rmtree(piece) if piece.is_dir() else piece.unlink()
    monkeypatch.setattr("llm_codes.lenses.circuits.evaluation.causal_scorecard", refuse)
    monkeypatch.setattr("llm_codes.lenses.circuits.evaluation.pruning_frontier", refuse)
    assert main(command) == 0
    assert results(tmp_path / "run") == first


def test_one_feature_is_shown(chain, tmp_path, capsys):
    assert main(["connector", "show", "OF_3", *chain, "--out", str(tmp_path / "run")]) == 0
    assert "OF_3 = relu(1.00 IF_3)" in capsys.readouterr().out
    assert set(results(tmp_path / "run")["feature"]) == {
        *("feature", "equation", "fires_on", "density", "terms", "contexts", "carried")
    }
