"""`sae train` and `sae eval` end to end on a tiny model: tables, the offline pages, what the dashboards say."""

import csv
import json
import re

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.__main__ import main
from llm_codes.corpus import load_corpus
from llm_codes.dashboards import dashboards
from llm_codes.harvest import keep_mask
from llm_codes.models import load_model
from llm_codes.saes.files import load_sae


@pytest.fixture(scope="module")
def inputs(tiny_model_folder, text_folder):
    return ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--threads", "1"]


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("sae") / "run"
    options = ["--site", "mlp_in,mlp_out", "--layer", "1", "--width", "2x", "--k", "6", "--split", "all"]
    sizes = ["--tokens", "4096", "--train-batch-size", "128", "--block-windows", "16"]
    assert main(["sae", "train", *inputs, *options, *sizes, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def evaluated(inputs, trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("eval") / "run"
    sae = str(trained / "blocks.1.mlp.hook_out-topk-128")
    options = ["--split", "all", "--tokens", "3000", "--dashboards", "5"]
    assert main(["sae", "eval", *inputs, *options, "--sae", sae, "--out", str(out)]) == 0
    return out


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def outside_loads(page):
    return re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)[^"']*|url\((?!#|data:|["']?#)[^)]*""", page)


def test_training_writes_its_curves_as_page_table_and_figure(trained):
    page = (trained / "report.html").read_text("utf-8")
    rows = table(trained / "tables" / "metrics.csv")
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [float(row["loss"]) for row in rows] == [line["loss"] for line in lines] and len(rows) == 4
    assert all((trained / "figures" / f"training.{kind}").exists() for kind in ("pdf", "png"))
    assert "blocks.1.mlp.hook_out-topk-128" in page and "<svg" in page and not outside_loads(page)


def test_evaluation_writes_scores_density_and_dashboards_on_one_page(evaluated):
    results = json.loads((evaluated / "results.json").read_text("utf-8"))
    rows = {row["score"]: row for row in table(evaluated / "tables" / "scores.csv")}
    assert float(rows["fvu"]["value"]) == results["fvu"] and float(rows["fvu"]["low"]) == results["fvu_ci"][0]
    assert sum(int(row["features"]) for row in table(evaluated / "tables" / "density.csv")) == 128
    page = (evaluated / "report.html").read_text("utf-8")
    assert not outside_loads(page) and "ce_recovered_mean" in page
    assert len(results["features"]) == 5 and page.count("<details open>") == 5
    for entry in results["features"]:
        assert f"feature {entry['feature']}:" in page and len(entry["promotes"]) == len(entry["demotes"]) == 5
        assert page.count('<p class="window">') == sum(len(e["contexts"]) for e in results["features"])
    densities = [entry["density"] for entry in results["features"]]
    assert densities == sorted(densities, reverse=True) and densities[0] > densities[-1]


def test_a_dashboard_says_what_the_dictionary_does(inputs, trained):
    model = load_model(inputs[1])
    corpus = load_corpus(inputs[3], model.tokenizer, context=32, n_tokens=1500, split="all")
    sae = load_sae(trained / "blocks.1.mlp.hook_out-topk-128")
    (entry,) = dashboards(model, sae, corpus, [int(dashboards(model, sae, corpus, count=3)[0]["feature"])])
    values, tokens = [], []
    for batch in corpus.batches(8):
        keep = keep_mask(batch, 1)
        values.append(sae.encode(model.activations(batch.tokens, [sae.hook])[sae.hook][keep])[:, entry["feature"]])
        tokens.append(batch.tokens[keep])
    value, token = torch.cat(values).numpy(), torch.cat(tokens).numpy()
    assert entry["density"] == pytest.approx((value > 0).mean()) and entry["largest"] == pytest.approx(value.max())
    assert sum(entry["histogram"]) == (value > 0).sum()
    strongest = entry["contexts"][0]
    assert strongest["value"] == pytest.approx(value.max(), abs=1e-4)
    assert strongest["tokens"][strongest["at"]] == model.token_strings([int(token[value.argmax()])])[0]
    totals = np.bincount(token, weights=value, minlength=model.vocabulary_size)
    assert entry["top"][0] == model.token_strings([int(totals.argmax())])[0]


def test_chosen_features_are_shown_and_an_unknown_one_is_one_line(inputs, trained, tmp_path, capsys):
    sae = ["--sae", str(trained / "blocks.1.mlp.hook_in-topk-128"), "--split", "all", "--tokens", "600"]
    assert main(["sae", "eval", *inputs, *sae, "--features", "7,3", "--out", str(tmp_path / "a")]) == 0
    entries = json.loads((tmp_path / "a" / "results.json").read_text("utf-8"))["features"]
    assert [entry["feature"] for entry in entries] == [7, 3]
    assert "promotes" not in entries[0]  # a dictionary before the MLP does not write to the residual stream
    assert main(["sae", "eval", *inputs, *sae, "--features", "128", "--out", str(tmp_path / "b")]) == 2
    assert "error: unknown feature 128: expected 0 to 127; choose one of those" in capsys.readouterr().err


def test_dashboards_of_a_silent_dictionary_are_refused(inputs, trained):
    model = load_model(inputs[1])
    corpus = load_corpus(inputs[3], model.tokenizer, context=32, n_tokens=300, split="all")
    sae = load_sae(trained / "blocks.1.mlp.hook_out-topk-128")
    sae.sae.b_enc.data.fill_(-1e6)
    with pytest.raises(UserError, match="expected a feature that fires; got none on these tokens; read more --tokens"):
        dashboards(model, sae, corpus)
