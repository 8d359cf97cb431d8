"""`connector confirm`: named forms on text that the first run did not read, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.connectors.connector import Connector
from llm_codes.__main__ import main
from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.circuits.command import read_found, unread_windows
from llm_codes.lenses.circuits.confirm import confirm_forms, summary
from llm_codes.lenses.circuits.rows import NamedForm
from llm_codes.lenses.connectors.files import save_connector
from llm_codes.lenses.connectors.pairs import harvest_pairs
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.study import train_saes
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.models import load_model
from llm_codes.sites import resolve_site

FIT = TrainingOptions(tokens=8 * 128, train_batch_size=128, block_windows=16)


@pytest.fixture(scope="module")
def opened(tiny_model_folder, text_folder, tmp_path_factory):
    """A tiny model, its text, and a folder with `mlp_in`, `mlp_out` and an empty-handed `connector`."""
    model = load_model(str(tiny_model_folder))
    corpus = load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=1500, split="all")
    out = tmp_path_factory.mktemp("chain")
    specs = [SAESpec(resolve_site(model, name, 1).hook, 64, 128, k=6) for name in ("mlp_in", "mlp_out")]
    for name, path in zip(("mlp_in", "mlp_out"), train_saes(model, corpus, specs, out, FIT), strict=True):
        path.rename(out / name)
    save_connector(Connector.from_dense(torch.eye(128), torch.zeros(128), "relu"), out / "connector")
    return model, corpus, out


def form(output, parents, level_out, level_in, kind="single"):
    words = {"kind": kind, "words": "IF", "need": 1, "precision": 0.9, "recall": 0.8, "support": 50, "adjusted_p": 0.01}
    return words | {
        "output": output,
        "parents": parents,
        "output_on_above": level_out,
        "parents_on_above": [level_in] * len(parents),
    }


def test_a_feature_that_is_its_parent_keeps_its_name_and_an_unseen_one_cannot_be_tested(opened):
    model, corpus, out = opened
    pairs = harvest_pairs(model, corpus, load_sae(out / "mlp_in"), load_sae(out / "mlp_out"))
    often = int(pairs.inputs.density().argmax())
    same = replace(pairs, outputs=pairs.inputs, document=np.arange(len(pairs.inputs)) % 10)
    named = [NamedForm.from_json(form(often, [often], 0.0, level)) for level in (0.0, 1e9)]
    lines = confirm_forms(named, same)
    assert lines[0].kept and lines[0].precision == lines[0].recall == 1 and lines[0].first_recall == 0.8
    assert not lines[1].kept and lines[1].precision is None and "fewer than 10 tokens" in lines[1].reason
    row = summary(lines)[0]
    assert (row.kind, row.named, row.testable, row.kept, row.precision) == ("single", 2, 1, 1, 1.0)
    assert summary(lines)[1].recall is None
    json.dumps([line.to_json() for line in lines], allow_nan=False)


def test_windows_that_were_read_are_left_out_of_the_same_corpus_only(opened):
    model, corpus, _ = opened
    first = corpus.select(range(5)).describe()
    left = unread_windows(corpus, first)
    assert len(left) == len(corpus) - 5 and (left.tokens == corpus.tokens[5:]).all()
    assert len(unread_windows(corpus, {**first, "sha256": "another"})) == len(corpus)
    assert len(unread_windows(corpus, {**first, "source": "a copy"})) == len(left)  # a text is its content
    with pytest.raises(UserError, match=r"did not read; it read all \d+ windows; raise --tokens"):
        unread_windows(corpus, corpus.describe())
    with pytest.raises(UserError, match="16 tokens long; got 32; pass --context 16"):
        unread_windows(corpus, {**first, "context": 16})


def test_the_command_reads_a_run_and_says_what_is_missing(opened, text_folder, tiny_model_folder, tmp_path, capsys):
    model, corpus, out = opened
    first = tmp_path / "first"
    first.mkdir()
    with pytest.raises(UserError, match=r"without results.json; run it first"):
        read_found(str(first))
    found = {"logic_forms": {"forms": []}, "provenance": {"corpus": corpus.select(range(5)).describe()}}
    (first / "results.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match="expected named logic forms .* got none"):
        read_found(str(first))
    found["logic_forms"]["forms"] = [form(3, [4], 0.1, 0.1), form(3, [4, 5], 0.1, 0.1, "or")]
    (first / "results.json").write_text(json.dumps(found))
    arguments = ["connector", "confirm", "--model", str(tiny_model_folder), "--corpus", str(text_folder)]
    arguments += ["--split", "all", "--context", "32", "--tokens", "900", "--threads", "1", "--found", str(first)]
    arguments += ["--connector", str(out / "connector"), "--from", str(out / "mlp_in"), "--to", str(out / "mlp_out")]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [line["kind"] for line in results["forms"]] == ["single", "or"]
    windows = results["provenance"]["corpus"]["n_windows"]
    assert results["n_tokens"] > 0 and windows + 5 <= len(corpus) + 5
    assert "testable" in capsys.readouterr().out
