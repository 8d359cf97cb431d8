"""`connector eval --untrained`: the untrained network's own chain, measured exactly as the trained one's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.errors import UserError
from llm_codes.__main__ import main
from llm_codes.configs.connectors import ConnectorEvalConfig, EvaluationOptions
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus, load_corpus
from llm_codes.inputs import open_inputs
from llm_codes.lenses.circuits.claims import UNTRAINED
from llm_codes.lenses.circuits.evaluation import evaluate_chain
from llm_codes.lenses.circuits.rows import LogicForms, UntrainedEvaluation
from llm_codes.lenses.circuits.untrained import made_from, untrained_evaluation
from llm_codes.lenses.connectors.files import chain_folder, load_connector, open_chain
from llm_codes.lenses.connectors.untrained import open_untrained_chain
from llm_codes.lenses.saes import shipped
from llm_codes.lenses.saes.matching import model_hash
from llm_codes.models import Model, load_model, untrained_like

SMALL: dict[str, Any] = {"frontier": (1,), "frontier_steps": 5, "edges_tested": 5, "logic_outputs": 12}
UNTRAINED_FLAGS = ("--untrained", "--seed", "7")
FIT = ["--steps", "20", "--refit-steps", "20", "--edges-per-output", "6"]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Model:
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model: Model, text_folder: Path) -> Corpus:
    return load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=1500, split="all")


@pytest.fixture(scope="module")
def folders(
    tiny_model_folder: Path, text_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[str, str, str]]:
    """Connector, dictionary before and after, made by the commands; trained or `--untrained`, with more flags."""
    text = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--split", "all"]
    made: dict[tuple[str, ...], tuple[str, str, str]] = {}

    def make(*flags: str) -> tuple[str, str, str]:
        if flags not in made:
            out = tmp_path_factory.mktemp("chain")
            size = ["--width", "128", "--k", "6", "--train-batch-size", "128", "--threads", "1"]
            train = ["sae", "train", *text, "--sites", "mlp_in,mlp_out", "--layers", "1", *size, "--tokens", "1024"]
            assert main([*train, *flags, "--out", str(out / "saes")]) == 0
            first, second = sorted(path.parent for path in (out / "saes").glob("*/cfg.json"))
            connect = ["connector", "train", *text, "--tokens", "1500", "--from", str(first), "--to", str(second)]
            assert main([*connect, *FIT, "--threads", "1", "--out", str(out / "connector")]) == 0
            made[flags] = (str(out / "connector"), str(first), str(second))
        return made[flags]

    return make


def test_a_connector_between_untrained_dictionaries_is_fitted_on_the_untrained_model(model, folders):
    """They name their model and its seed: nothing else has to be said."""
    fresh = untrained_like(model, 7)
    description = load_connector(folders(*UNTRAINED_FLAGS)[0]).description
    assert description["model_hash"] == model_hash(fresh) != model_hash(model)
    assert load_connector(folders()[0]).description["model_hash"] == model_hash(model)


def test_the_untrained_chain_is_measured_as_a_chain_of_its_own_model_is(model, corpus, folders):
    chain = open_chain(*folders())
    control = open_untrained_chain(model, chain, *folders(*UNTRAINED_FLAGS))
    found = evaluate_chain(model, chain, corpus, corpus, **SMALL, untrained=control)
    own = evaluate_chain(control.model, control.chain, corpus, corpus, **SMALL)
    assert found.untrained is not None and found.untrained.chain == control.sha256
    rows = {row.row: row for row in found.untrained.scorecard}
    assert list(rows) == ["original", "SAE-out only", "connector", "mean-ablated"]
    for row in own.scorecard.scorecard:
        if row.row in rows:
            assert rows[row.row] == row
    assert own.logic_forms is not None
    assert found.untrained.logic_forms.named == own.logic_forms.named
    assert found.untrained.logic_forms.outputs_tested == own.logic_forms.outputs_tested
    share = {row.row: row.share_of_kl for row in found.scorecard.scorecard}["connector"]
    assert share is not None and share != rows["connector"].share_of_kl
    claim = found.claims[0]
    assert claim.measured == share.value
    assert (claim.controls or {})[UNTRAINED] == rows["connector"].share_of_kl
    assert own.untrained is None and not any(claim.verdict == "holds" for claim in own.claims)


def test_the_command_reads_it_from_three_folders(
    tiny_model_folder, text_folder, folders, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    connector, first, second = folders()
    text = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--split", "all"]
    sizes = [
        "--fit-tokens",
        "1500",
        "--frontier",
        "1",
        "--frontier-steps",
        "5",
        "--edges-tested",
        "5",
        "--tokens",
        "1500",
    ]
    command = ["connector", "eval", *text, *sizes, "--logic-outputs", "4", "--threads", "1", "--connector", connector]
    command += ["--from", first, "--to", second, "--untrained", ",".join(folders(*UNTRAINED_FLAGS))]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    kept = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    assert set(kept["untrained"]) == {"made_from", "chain", "scorecard", "logic_forms"}
    assert set(kept["untrained"]["made_from"]) == {
        "model",
        "before",
        "after",
        "connector",
        "corpus",
        "train",
        "options",
    }
    page = (tmp_path / "run" / "scorecard.html").read_text("utf-8")
    assert "Control: the untrained network with dictionaries and a connector of its own" in page

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("llm_codes.lenses.circuits.evaluation.causal_scorecard", refuse)
    assert main([*command, "--out", str(tmp_path / "run")]) == 0, "its pieces are read back"
    assert main([*command[:-1], ",".join([connector, first, second]), "--out", str(tmp_path / "other")]) == 2


def changed(folder: str, out: Path, **metadata: Any) -> str:
    """A dictionary's folder with something else said of it."""
    shutil.copytree(folder, out)
    words = json.loads((out / "cfg.json").read_text("utf-8"))
    words["metadata"] |= metadata
    (out / "cfg.json").write_text(json.dumps(words), encoding="utf-8")
    return str(out)


def test_a_control_of_another_budget_or_place_is_refused(model, folders, tmp_path):
    chain, (connector, first, second) = open_chain(*folders()), folders(*UNTRAINED_FLAGS)
    with pytest.raises(UserError, match=r"expected dictionaries of the untrained model in --untrained; .* was trained"):
        open_untrained_chain(model, chain, *folders())
    longer = changed(first, tmp_path / "longer", training_tokens=2048)
    with pytest.raises(
        UserError, match="dictionary before, training tokens as the chain's, 1024; got 2048; train both"
    ):
        open_untrained_chain(model, chain, connector, longer, second)
    said = json.loads((Path(second) / "cfg.json").read_text("utf-8"))["metadata"]["neural_codes"]
    denser = changed(second, tmp_path / "denser", neural_codes={**said, "k": 5})
    with pytest.raises(UserError, match="dictionary after, k as the chain's, 6; got 5"):
        open_untrained_chain(model, chain, connector, first, denser)
    elsewhere = replace(chain, first=replace(chain.first, hook="blocks.0.mlp.hook_in", hook_out="blocks.0.mlp.hook_in"))
    with pytest.raises(UserError, match="dictionary before, place as the chain's, blocks.0"):
        open_untrained_chain(model, elsewhere, connector, first, second)


def test_a_connector_fitted_for_longer_is_refused(model, folders):
    chain = open_chain(*folders())
    description = {**chain.connector.description, "fit": {**chain.connector.description["fit"], "steps": 21}}
    longer = replace(chain, connector=chain.connector.with_weights(chain.connector.weights, **description))
    with pytest.raises(UserError, match="the untrained model's connector, steps as the chain's, 21; got 20"):
        open_untrained_chain(model, longer, *folders(*UNTRAINED_FLAGS))


def test_three_folders_or_none():
    with pytest.raises(UserError, match="expected three folders in --untrained, .*; got 1; name all three or none"):
        ConnectorEvalConfig(out="", untrained=("runs/connector",))


def test_results_that_ship_are_used_for_what_they_are_the_control_of(
    model, corpus, folders, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    chain = open_chain(*folders())
    asked = (EvaluationOptions(), HarvestOptions(), 0)
    made = made_from(model, chain, corpus, corpus, *asked)
    forms = LogicForms(5, 9, {"or": 1})
    found = untrained_evaluation(
        open_untrained_chain(model, chain, *folders(*UNTRAINED_FLAGS)), made, lambda *_: (SimpleScorecard(), forms)
    )
    assert found is not None and found.made_from == made
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    (tmp_path / shipped.CONTROL).write_text(json.dumps({"evaluation": found.to_json()}))
    refuse: Any = None
    assert untrained_evaluation(None, made, refuse) == found
    for other in (
        made_from(model, chain, corpus, corpus, EvaluationOptions(logic_outputs=7), *asked[1:]),
        made_from(model, chain, corpus.select(range(3)), corpus, *asked),
        made_from(untrained_like(model, 7), chain, corpus, corpus, *asked),
    ):
        assert untrained_evaluation(None, other, refuse) is None


class SimpleScorecard:
    scorecard = ()


def test_the_control_that_ships_is_of_what_the_command_reads_by_default():
    """The chain, weights, texts and options: one of them changed, and it is no control of that."""
    config = ConnectorEvalConfig(out="", device="cpu")
    inputs, chain = open_inputs(config.inputs), open_chain(*chain_folder(shipped.SHIPPED))
    held_out = inputs.view(config.windows)
    train = inputs.of_split("train").windows(config.windows.context, n_tokens=config.evaluation.fit_tokens)

    def control(seed: int) -> UntrainedEvaluation | None:
        made = made_from(inputs.model, chain, train, held_out, config.evaluation, config.inputs, seed)
        return untrained_evaluation(None, made, lambda *_: pytest.fail("it ships, and is not measured"))

    found = control(0)
    assert found is not None and control(1) is None
    assert {"original", "SAE-out only", "connector", "mean-ablated"} <= {row.row for row in found.scorecard}
    assert found.logic_forms.outputs_tested == config.evaluation.logic_outputs
