"""`sae train` and `sae eval` end to end on a tiny model: tables, the offline pages, what the dashboards say."""

import csv
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.report.page import Page
from llm_codes.__main__ import main
from llm_codes.corpus import load_corpus
from llm_codes.harvest import keep_mask
from llm_codes.lenses.circuits.page import add_circuit
from llm_codes.lenses.circuits.rows import CircuitErrors, CircuitPage
from llm_codes.lenses.circuits.study import prompt_view
from llm_codes.lenses.connectors.files import open_chain
from llm_codes.lenses.connectors.pairs import harvest_pairs
from llm_codes.lenses.saes.dashboards import dashboards
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.models import load_model


@pytest.fixture(scope="module")
def inputs(tiny_model_folder, text_folder):
    return ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--threads", "1"]


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("sae") / "run"
    options = ["--sites", "mlp_in,mlp_out", "--layers", "1", "--width", "2x", "--k", "6", "--split", "all"]
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


def test_one_report_says_what_was_asked_saved_and_lost_on_held_out_documents(inputs, tmp_path):
    """Every architecture, one pass: L0 asked and saved, FVU, silent share, and CE and KL of what was saved."""
    options = ["--sites", "mlp_out", "--layers", "1", "--width", "2x", "--k", "6", "--architecture", "batchtopk"]
    sizes = ["--tokens", "2048", "--train-batch-size", "128", "--block-windows", "16", "--report-tokens", "600"]
    assert main(["sae", "train", *inputs, *options, *sizes, "--out", str(tmp_path / "run")]) == 0
    (row,) = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))["last_metrics"]
    assert row["asked_l0"] == 6 and abs(row["saved_l0"] - 6) < 1 and 0 <= row["saved_silent_share"] < 1
    assert 0 < row["held_out_fvu"] and row["kl"] > 0 and row["ce_delta"] is not None
    found = tmp_path / "eval"
    words = ["--split", "held-out", "--tokens", "600", "--dashboards", "0", "--sae", str(tmp_path / "run")]
    assert main(["sae", "eval", *inputs, *words, "--out", str(found)]) == 0
    again = json.loads((found / "results.json").read_text("utf-8"))
    assert (again["fvu"], again["kl"]) == (row["held_out_fvu"], row["kl"])


def test_without_held_out_tokens_the_report_says_so(trained):
    rows = json.loads((trained / "results.json").read_text("utf-8"))["last_metrics"]
    assert all(row["kl"] is None and "not measured: no --report-tokens" in json.dumps(row) for row in rows)


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
    (entry,) = dashboards(model, sae, corpus, [dashboards(model, sae, corpus, count=3)[0].feature])
    values, tokens = [], []
    for batch in corpus.batches(8):
        keep = keep_mask(batch, 1)
        values.append(sae.encode(model.activations(batch.tokens, [sae.hook])[sae.hook][keep])[:, entry.feature])
        tokens.append(batch.tokens[keep])
    value, token = torch.cat(values).numpy(), torch.cat(tokens).numpy()
    assert entry.density == pytest.approx((value > 0).mean()) and entry.largest == pytest.approx(value.max())
    assert sum(entry.histogram) == (value > 0).sum()
    strongest = entry.contexts[0]
    assert strongest.value == pytest.approx(value.max(), abs=1e-4)
    assert strongest.tokens[strongest.at] == model.token_strings([int(token[value.argmax()])])[0]
    totals = np.bincount(token, weights=value, minlength=model.vocabulary_size)
    assert entry.top[0] == model.token_strings([int(totals.argmax())])[0]


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


TRANSCODER = ("--architecture", "transcoder")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--checkpoint-every", "0"], "expected --checkpoint-every a whole number of at least 1; got 0; give a value"),
        (["--train-batch-size", "1"], "expected --train-batch-size a whole number of at least 2; got 1; give a value"),
        (["--block-windows", "0"], "expected --block-windows a whole number of at least 1; got 0; give a value"),
        (["--keep", "0"], "expected --keep a whole number of at least 1; got 0; give a value in that range"),
        (["--learning-rate", "0"], "expected --learning-rate a number above 0; got 0.0; give a value in that range"),
        (["--architecture", "gated", "--sparsity", "nan"], "expected --sparsity a number above 0; got nan; give"),
        (["--architecture", "gated", "--sparsity", "-1"], "expected --sparsity a number above 0; got -1.0; give"),
        (
            ["--architecture", "standard", "--target-l0", "128"],
            "expected 0 <= target_l0 < 128 features; got 128; lower",
        ),
        (["--k", "128"], "expected 1 <= k < 128 features; got k=128; lower --k or widen the SAE"),
        (["--width", "2x,128"], "--width 2x,128 makes blocks.1.mlp.hook_out-topk-128 twice; leave one out"),
        (["--sites", "mlp_out,mlp_out"], "expected each value of --sites once; got 'mlp_out' twice; leave one out"),
        (["--sites", "mlp_out,mlp_out@1"], "expected each site of --sites once; got mlp_out@1 twice; leave one out"),
        (
            ["--width", "64x"],
            "expected at least as many tokens to train on as features (4096); got 2048; raise --tokens",
        ),
        (["--block-windows", "4"], "4 windows hold 124; set --block-windows to 34, or lower --train-batch-size to 124"),
        (["--train-batch-size", "16384"], "; raise --tokens, or lower --train-batch-size to"),
        (
            ["--architecture", "transcoder"],
            "expected --sites-out exactly for a transcoder; got --architecture transcoder with --sites-out empty; give",
        ),
        (
            [*TRANSCODER, "--sites", "mlp_in@1", "--sites-out", "mlp_out@0"],
            "expected one output in layer 1 for mlp_in@1; got mlp_out@0; name its kind alone",
        ),
        (
            [*TRANSCODER, "--sites", "mlp_out", "--sites-out", "mlp_in"],
            "expected an output that is computed after its input; got mlp_out@1 to mlp_in@1; exchange --sites",
        ),
        (
            [*TRANSCODER, "--sites", "mlp_in", "--sites-out", "mlp_in"],
            "expected an output that is computed after its input; got mlp_in@1 to mlp_in@1; exchange --sites",
        ),
        (["--sites", "blocks.1.hook_mlp_in"], "got 'blocks.1.hook_mlp_in' (Cannot add hook blocks.1.hook_mlp_in"),
        (["--wandb", "codes"], "expected the package wandb for --wandb; it is not installed; pip install"),
    ],
)
def test_bad_settings_of_training_are_one_line(inputs, tmp_path, capsys, monkeypatch, options, text):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    sizes = ["--tokens", "2048", "--split", "all", "--width", "2x", "--k", "6", "--layers", "1"]
    sizes += ["--out", str(tmp_path / "run")]
    assert main(["sae", "train", *inputs, *sizes, *options]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and text in errors[0]


def test_a_dictionary_of_other_weights_is_refused_and_another_name_only_warned_of(inputs, trained, capsys):
    model = load_model(inputs[1])
    sae = load_sae(trained / "blocks.1.mlp.hook_out-topk-128")
    assert check_fits(sae, model) is sae
    retrained = load_model(inputs[1], untrained=True, seed=5)
    with pytest.raises(
        UserError, match=r"was trained on other weights \(model .*, hash .*\); got .*use the model it was"
    ):
        check_fits(sae, retrained)
    assert check_fits(sae, load_model(inputs[1], dtype="bfloat16")) is sae  # rounded weights cannot be compared
    published = {key: value for key, value in sae.metadata.items() if not key.endswith("_hash")}
    for name, warned in (("org/other-model", True), (f"org/{model.name.rsplit('/', 1)[-1]}", False)):
        capsys.readouterr()
        check_fits(replace(sae, metadata={**published, "model_name": name}), model)
        assert ("names the model 'org/other-model'" in capsys.readouterr().err) == warned


def test_left_out_positions_and_memory_are_passed_through(inputs, trained, tmp_path, capsys):
    sae = ["--sae", str(trained / "blocks.1.mlp.hook_out-topk-128"), "--split", "all", "--tokens", "640"]
    found = []
    for exclude in ("0", "4"):
        out = tmp_path / exclude
        assert main(["sae", "eval", *inputs, *sae, "--exclude-positions", exclude, "--out", str(out)]) == 0
        found.append(json.loads((out / "results.json").read_text("utf-8")))
    assert found[0]["ce_delta"] != found[1]["ce_delta"] and found[0]["fvu"] != found[1]["fvu"]
    model = load_model(inputs[1])
    corpus = load_corpus(inputs[3], model.tokenizer, context=32, n_tokens=640, split="all")
    folders = [load_sae(trained / f"blocks.1.mlp.hook_{side}-topk-128") for side in ("in", "out")]
    pairs = harvest_pairs(model, corpus, *folders, exclude_positions=4)
    assert pairs.position.min() == 4 and len(pairs.inputs) == int(corpus.mask[:, 4:].sum())
    with pytest.raises(UserError, match="expected at most 0.001 GB beyond the model, .* GB would be needed; lower"):
        harvest_pairs(model, corpus, *folders, max_memory_gb=0.001)
    train = ["--tokens", "2048", "--split", "all", "--width", "2x", "--k", "6"]
    for number, command in enumerate((["sae", "eval", *inputs, *sae], ["sae", "train", *inputs, *train])):
        assert main([*command, "--max-memory-gb", "0.0001", "--out", str(tmp_path / f"m{number}")]) == 2
        assert "error: expected at most 0.0001 GB beyond the model" in capsys.readouterr().err


def test_a_cut_prompt_says_how_much_is_shown(inputs, trained):
    model = load_model("embedded")
    chain = open_chain("", "", "")
    known: set[int] = set()
    for words, total in (("the cat ", None), ("the cat " * 60, True)):
        view = prompt_view(model, chain.first, chain.second, chain.connector, words, known)
        page = Page("Circuit", "test")
        add_circuit(page, CircuitPage({}, {}, (), (), ("in", "out"), CircuitErrors(0.0, 0.0, 0.0), view))
        count = len(model.encode(words))
        assert view.prompt_tokens_total == count and len(view.tokens) == min(count, 64)
        assert (f"first 64 of {count} tokens" in page.html({})) == (total is True)


def test_old_names_of_flags_work_with_a_notice(inputs, tmp_path, capsys):
    options = ["--site", "mlp_out", "--layer", "0", "--width", "2x", "--k", "6", "--split", "all", "--tokens", "2048"]
    assert main(["sae", "train", *inputs, *options, "--out", str(tmp_path / "run")]) == 0
    assert "--site is called --sites now; the old name works in this version" in capsys.readouterr().err


def test_an_evaluation_is_read_back_and_not_measured_again(inputs, trained, tmp_path, monkeypatch):
    sae = ["--sae", str(trained / "blocks.1.mlp.hook_out-topk-128"), "--split", "all", "--tokens", "640"]
    command = ["sae", "eval", *inputs, *sae, "--dashboards", "2", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    before = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    monkeypatch.setattr("llm_codes.lenses.saes.command._evaluated", None)
    (tmp_path / "run" / "results.json").unlink()
    assert main(command) == 0
    after = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    assert {key: after[key] for key in after if key != "provenance"} == {
        key: before[key] for key in before if key != "provenance"
    }
