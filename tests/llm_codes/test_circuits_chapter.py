"""The report's chapter on circuits: a chain that fits is shown and tested, other models get the commands."""

import json

import pytest

from eval.measures.connector import ConnectorFit
from eval.report.page import Page
from llm_codes.circuits.report_chapter import report_chapter
from llm_codes.connectors import harvest_pairs, save_connector, train_connector
from llm_codes.corpus import load_corpus
from llm_codes.models import load_model
from llm_codes.saes.commands import train_saes
from llm_codes.saes.files import load_sae
from llm_codes.saes.specification import SAESpec
from llm_codes.saes.training import TrainingOptions
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
    made = train_saes(model, corpus, specs, out, TrainingOptions(tokens=8 * 128, batch_size=128), block_windows=16)
    for name, path in zip(("mlp_in", "mlp_out"), made, strict=True):
        path.rename(out / name)
    first, second = load_sae(out / "mlp_in"), load_sae(out / "mlp_out")
    fit = ConnectorFit(steps=20, refit_steps=10, edges_per_output=6)
    save_connector(train_connector(model, harvest_pairs(model, corpus, first, second), first, second, fit), out)
    (out / "connector").mkdir()
    for path in out.glob("connector.*"):
        path.rename(out / "connector" / path.name)
    row = {"row": "original", "ce": 5.0, "ce_delta": 0.0, "ci": None, "share_of_gap": None}
    (out / "evaluation.json").write_text(json.dumps({"scorecard": [row], "controls": [], "n_tokens": 1234}))
    return out


def test_a_chain_of_these_weights_is_shown_and_tested(opened, shipped):
    page = Page("Report", "")
    found = report_chapter(*opened, None, page, folder=shipped, n_outputs=10, n_edges=8)["circuits"]
    assert found["shipped"] and found["edge_validation"]["n_edges"] == 8
    assert all(text.startswith(f"{name} = relu(") for name, text in found["equations"].items())
    html = page.html({})
    assert "1,234 held-out tokens" in html and 'id="circuit"' in html and "boost" in html
    assert [section.anchor for section in page.sections] == ["circuits", "scorecard", "circuit-chapter"]
    json.dumps(found, allow_nan=False)


def test_other_weights_get_the_commands_that_train_theirs(tiny_model_folder, opened, shipped, tmp_path):
    other = load_model(str(tiny_model_folder), untrained=True, seed=5)
    page = Page("Report", "")
    found = report_chapter(other, opened[1], None, page, folder=shipped)["circuits"]
    assert not found["shipped"] and "no dictionaries ship for" in found["reason"]
    html = page.html({})
    assert "sae train" in html and "connector train" in html and f"--layer {other.n_layers // 2}" in html
    assert "no dictionaries are installed" in report_chapter(*opened, None, page, folder=tmp_path)["circuits"]["reason"]
