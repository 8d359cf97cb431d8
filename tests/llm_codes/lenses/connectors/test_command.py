"""The chain on a tiny model: dictionaries, connector, scorecard, interventions, page in a real browser, bad input."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from eval.errors import UserError
from eval.measures.connectors.connector import Connector
from eval.measures.dictionaries.feature_rows import FeatureRows
from eval.report.page import Page
from llm_codes.__main__ import main
from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.circuits.evaluation import evaluate_chain
from llm_codes.lenses.circuits.graph import graph_json
from llm_codes.lenses.circuits.page import add_circuit
from llm_codes.lenses.circuits.reading import decisive_parents, equation, feature_number
from llm_codes.lenses.circuits.rows import ChainEvaluation
from llm_codes.lenses.circuits.study import circuit_data, prompt_view
from llm_codes.lenses.connectors.files import Chain, check_connector, load_connector, save_connector
from llm_codes.lenses.connectors.pairs import harvest_pairs
from llm_codes.lenses.connectors.scorecard import ROWS, Branch
from llm_codes.lenses.connectors.study import mean_jacobian, mlp_function, train_connector
from llm_codes.lenses.saes.evaluation import evaluate_dictionary
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.matching import check_fits, check_pair
from llm_codes.lenses.saes.study import train_saes
from llm_codes.lenses.saes.training.specification import SAESpec
from llm_codes.models import load_model
from llm_codes.sites import resolve_site
from tests.browser import SCHEMES, barriers, barriers_of, opened_browser


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model, text_folder):
    return load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=1500, split="all")


@pytest.fixture(scope="module")
def folder(model, corpus, tmp_path_factory):
    """Three dictionaries around layer 1's MLP, trained in one pass for sixteen steps."""
    out = tmp_path_factory.mktemp("saes")
    before, after = resolve_site(model, "mlp_in", 1), resolve_site(model, "mlp_out", 1)
    specs = [
        SAESpec(before.hook, 64, 128, k=6),
        SAESpec(after.hook, 64, 128, k=6),
        SAESpec(before.hook, 64, 128, architecture="transcoder", k=6, hook_out=after.hook, d_out=64),
    ]
    options = TrainingOptions(tokens=16 * 128, train_batch_size=128, block_windows=16)
    made = train_saes(model, corpus, specs, out, options)
    for name, path in zip(("in", "out", "transcoder"), made, strict=True):
        path.rename(out / name)
    return out


@pytest.fixture(scope="module")
def chain(model, corpus, folder):
    first, second = load_sae(folder / "in"), load_sae(folder / "out")
    pairs = harvest_pairs(model, corpus, first, second)
    connector = train_connector(model, pairs, first, second, steps=60, refit_steps=60, edges_per_output=8)
    return Chain(first, second, connector, load_sae(folder / "transcoder")), pairs


def test_folders_are_sae_lens_folders(folder):
    from sae_lens import SAE

    x = torch.randn(7, 64, generator=torch.Generator().manual_seed(0))
    for name in ("in", "out", "transcoder"):
        theirs, mine = SAE.load_from_disk(folder / name), load_sae(folder / name)
        assert torch.allclose(theirs.encode(x), mine.encode_rows(x).dense(), atol=1e-5)
        assert torch.allclose(theirs.W_dec.norm(dim=1), torch.ones(128), atol=1e-4)


def test_a_reconstruction_is_in_the_activations_own_units(model, corpus, folder, chain):
    _, pairs = chain
    sae = load_sae(folder / "out")
    error = (sae.reconstruct(pairs.y) - pairs.y).square().sum()
    assert error < 0.9 * (pairs.y - pairs.y.mean(0)).square().sum()


def test_evaluation_has_every_number_and_a_transcoder_is_scored_at_its_output(model, corpus, folder):
    found = evaluate_dictionary(model, corpus, load_sae(folder / "transcoder"))
    assert set(found.scores()) >= {"l0", "fvu", "fvu_per_token", "cosine", "dead_share", "ce_delta", "kl"}
    assert found.fvu.value < 1.5 and found.fvu.n == corpus.n_documents
    assert sum(row.features for row in found.density) == 128


def test_the_mean_jacobian_is_the_derivative():
    generator = torch.Generator().manual_seed(0)
    matrix, x = torch.randn(3, 4, generator=generator), torch.randn(6, 4, generator=generator)
    assert torch.allclose(mean_jacobian(lambda t: t @ matrix.T, x), matrix, atol=1e-6)
    expected = torch.diag((x.detach() * 2).mean(0))
    assert torch.allclose(mean_jacobian(lambda t: t**2, x), expected, atol=1e-6)


def test_the_mlp_alone_is_the_mlp_in_the_model(model, chain):
    _, pairs = chain
    function = mlp_function(model, resolve_site(model, "mlp_in", 1))
    assert torch.allclose(function(pairs.x[:50]), pairs.y[:50], atol=1e-5)


def test_replacing_by_the_same_changes_nothing_and_by_zero_does(model, corpus):
    before, after = resolve_site(model, "mlp_in", 1), resolve_site(model, "mlp_out", 1)
    branch = Branch(model, before.hook, after.hook)
    plain, counts = branch.losses(corpus, [])
    same, _ = branch.losses(corpus, branch.hooks(lambda x, y: y, read=lambda x: x))
    zero, _ = branch.losses(corpus, branch.hooks(lambda x, y: torch.zeros_like(y)))
    assert counts.sum() > 1000
    assert abs(plain - same).max() < 1e-3 and abs(plain - zero).max() > 1e-2


def test_rows_that_share_what_lies_below_lose_what_full_runs_lose(model, corpus):
    """Bit for bit, also after a row that changes the MLP's input, and nothing is left behind in the model."""
    before, after = resolve_site(model, "mlp_in", 1), resolve_site(model, "mlp_out", 1)
    branch = Branch(model, before.hook, after.hook)
    rows = {
        "original": [],
        "input": branch.hooks(lambda x, y: y, read=lambda x: 0.5 * x),
        "half": branch.hooks(lambda x, y: 0.5 * y),
        "original again": [],
    }
    sums, counts = branch.row_losses(corpus, rows, batch_size=7)
    assert not any(type(module.__dict__.get("forward")).__name__ == "_Kept" for module in model.bridge.modules())
    for name, hooks in rows.items():
        full, place = counts * 0, 0
        for batch in corpus.batches(7):
            keep = batch.mask[:, 1:].clone()
            keep[:, 0] = False
            losses = (model.cross_entropy(batch.tokens, hooks).double() * keep).sum(1)
            for document, loss in zip(batch.document.tolist(), losses.tolist(), strict=True):
                full[document] += loss
            place += len(batch.tokens)
        assert place == len(corpus) and (full == sums[name]).all()
    assert (sums["original"] == sums["original again"]).all() and (sums["half"] != sums["original"]).any()


def test_evaluation_has_nine_rows_controls_frontier_interventions(model, corpus, chain):
    whole, _ = chain
    options = {"frontier": (1, 4), "edges_tested": 10, "logic_outputs": 8, "frontier_steps": 30}
    found = evaluate_chain(model, whole, corpus, corpus, **options)
    json.dumps(found.to_json(), allow_nan=False)
    rows = found.to_json()["scorecard"]
    assert [row["row"] for row in rows] == list(ROWS) and rows[0]["ce_delta"] == 0
    assert all({"row", "ce", "ce_delta", "ci"} <= set(row) for row in rows)
    assert ["share_of_gap" in row for row in rows] == [False, False, True, True, True, True, True, False, False]
    assert {row.method for row in found.frontier} == {"magnitude", "attribution", "refit"}
    assert set(found.to_json()["edge_validation"]["ablate"]) >= {"sign_agreement", "r2", "sign_agreement_null"}
    assert len(found.claims) == 3 and ChainEvaluation.from_json(found.to_json()) == found
    kept = {}
    assert [row.terms for row in found.readable] == ["3", "5", "10", "all"]
    pieces = {name: found.to_json() for name in ("scorecard", "frontier", "circuits", "readable")}
    pieces["edge-validation"] = found.edge_validation.to_json()
    again = evaluate_chain(
        model, whole, corpus, corpus, **options, keep=lambda name, compute: kept.setdefault(name, pieces[name])
    )
    assert set(kept) == {"scorecard", "frontier", "edge-validation", "circuits", "readable"} and again == found


def test_an_intervention_on_an_exact_linear_connector_is_predicted(model, corpus, folder, chain):
    """A network that is the connector itself: predicted and real changes agree."""
    from llm_codes.lenses.connectors.interventions import intervene

    whole, pairs = chain
    first = whole.first
    predict = whole.connector.predictor()

    class Exact:
        encode_rows = staticmethod(lambda features: second_rows(features))

    def second_rows(features):
        from eval.measures.dictionaries.feature_rows import FeatureRows

        return FeatureRows.from_dense(features)

    edges = [(o, j, w) for o in range(128) for j, w in whole.connector.edges(o)]
    output, source, weight = max(edges, key=lambda edge: abs(edge[2]))
    features = pairs.inputs.rows(slice(0, 500))
    dense = features.dense()
    vectors = torch.eye(128)
    stand_in = replace(first)
    object.__setattr__(stand_in, "sae", type("Identity", (), {"W_dec": vectors})())
    function = lambda f: predict(type(features).from_dense(f.clamp_min(0)))  # noqa: E731
    found = intervene(function, stand_in, Exact, whole.connector, dense, features, (output, source, weight), "ablate")
    assert found.actual == pytest.approx(found.predicted, abs=1e-4)


def test_equation_and_feature_names():
    weight = torch.tensor([[0.26, 0.0], [0.0, -2.0], [0.23, 3.0]])
    connector = Connector.from_dense(weight, torch.tensor([0.0, 0.2]), "relu")
    assert equation(connector, 0) == "OF_0 = relu(0.26 IF_0 + 0.23 IF_2)"
    assert equation(connector, 1) == "OF_1 = relu(3.00 IF_2 - 2.00 IF_1 + 0.20)"
    assert equation(connector, 1, torch.tensor([1.0, 9.0, 1.0])) == "OF_1 = relu(- 2.00 IF_1 + 3.00 IF_2 + 0.20)"
    assert feature_number("OF_1", 2) == 1
    with pytest.raises(UserError, match="unknown feature 'OF_9': expected OF_0 to OF_1; choose one of those"):
        feature_number("OF_9", 2)


def test_decisive_parents_are_those_that_make_it_fire_and_those_that_stop_it():
    """IF_0 and IF_1 fire it, IF_2 stops it; IF_3 has a large weight but never decides, IF_4 is never on."""
    weight = torch.tensor([[1.0], [0.6], [-2.0], [-9.0], [5.0]])
    on = torch.tensor([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).float()
    connector = Connector.from_dense(weight, torch.tensor([-0.1]), "relu")
    assert decisive_parents(connector, 0, FeatureRows.from_dense(on)) == [0, 1, 2]
    assert decisive_parents(connector, 0, FeatureRows.from_dense(on), 2) == [0, 2]


def test_saved_connectors_read_back_and_damage_is_named(chain, tmp_path):
    whole, _ = chain
    save_connector(whole.connector, tmp_path)
    assert torch.equal(load_connector(tmp_path).dense(), whole.connector.dense())
    data = (tmp_path / "connector.safetensors").read_bytes()
    (tmp_path / "connector.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="expected a connector in .*; it is damaged .*; train it again"):
        load_connector(tmp_path)
    with pytest.raises(UserError, match="not there; run `connector train"):
        load_connector(tmp_path / "nowhere")


def test_every_command_on_pairs_hears_positions_and_memory(
    tiny_model_folder, text_folder, folder, chain, tmp_path, capsys
):
    save_connector(chain[0].connector, tmp_path / "connector")
    sides = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "400"]
    sides += ["--from", str(folder / "in"), "--to", str(folder / "out"), "--threads", "1"]
    tiny = ["--max-memory-gb", "0.000001"]
    given = ["--connector", str(tmp_path / "connector")]
    for number, verb in enumerate((["connector", "train"], ["connector", "eval", *given], ["circuit", *given])):
        assert main([*verb, *sides, *tiny, "--out", str(tmp_path / f"refused-{number}")]) == 2
        assert "raise --max-memory-gb" in capsys.readouterr().err, verb


def test_bad_folders_and_pairs(model, folder, chain, tmp_path):
    with pytest.raises(UserError, match=r"expected cfg.json and sae_weights.safetensors in .*; it holds nothing"):
        load_sae(tmp_path)
    with pytest.raises(UserError, match="got .*, which is none; check the path"):
        load_sae(tmp_path / "nowhere")
    broken = shutil.copytree(folder / "in", tmp_path / "broken")
    weights = broken / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="expected an sae-lens folder at .*; it is damaged"):
        load_sae(broken)
    first, second = chain[0].first, chain[0].second
    other = replace(second, metadata={**second.metadata, "model_name": "another"})
    with pytest.raises(UserError, match="expected two dictionaries of one model; got different models"):
        check_pair(first, other)
    elsewhere = replace(first, hook="blocks.1.mlp.out.hook_in", hook_out="blocks.1.mlp.out.hook_in")
    with pytest.raises(
        UserError, match="sae.d_in=64 but activations at .* are 256 wide; was this SAE trained on another"
    ):
        check_fits(elsewhere, model)
    with pytest.raises(UserError, match="was trained with another tokenizer"):
        check_fits(replace(first, metadata={**first.metadata, "tokenizer_hash": "x"}), model)
    processed = {**first.metadata, "model_from_pretrained_kwargs": {"center_writing_weights": True}}
    with pytest.raises(
        UserError,
        match="expected weights processed as SAE .* was trained on, center_writing_weights; .* has raw; load it with",
    ):
        check_fits(replace(first, metadata=processed), model)
    small = Connector.from_dense(torch.eye(3), torch.zeros(3), "relu")
    with pytest.raises(UserError, match="expected dictionaries of 3 and 3 features; got 128 and 128"):
        check_connector(small, first, second)


@pytest.fixture(scope="module")
def page_file(model, chain, tmp_path_factory):
    whole, pairs = chain
    data = circuit_data(
        model, whole.first, whole.second, whole.connector, pairs, n_outputs=20, prompt="the cat sat on the mat"
    )
    page = Page("Circuit", "test")
    add_circuit(page, data)
    path = tmp_path_factory.mktemp("page") / "circuit.html"
    path.write_text(page.html({}), encoding="utf-8")
    return path, data


def test_graph_json_has_nodes_links_and_errors(page_file):
    _, data = page_file
    graph = graph_json(data, "tiny", 1)
    names = {node["node_id"] for node in graph["nodes"]}
    assert {link["source"] for link in graph["links"]} <= names and {link["target"] for link in graph["links"]} <= names
    assert any(node["feature_type"] == "mlp reconstruction error" for node in graph["nodes"])
    assert graph["metadata"]["prompt_tokens"] == list(data.prompt.tokens)


def test_every_position_of_the_prompt_has_its_strongest_output_on_the_page(page_file):
    _, data = page_file
    assert all(place.outputs for place in data.prompt.positions)


def test_a_prompt_longer_than_the_context_or_empty(model, chain):
    whole, _ = chain
    with pytest.raises(UserError, match=r"expected a prompt of at most 63 tokens .*; got \d+; shorten --prompt"):
        prompt_view(model, whole.first, whole.second, whole.connector, "the cat " * 60, set())
    with pytest.raises(UserError, match="expected a prompt with at least one token"):
        prompt_view(model, whole.first, whole.second, whole.connector, "", set())


def test_the_page_in_a_browser_search_slider_click_prompt(page_file):
    path, data = page_file
    with opened_browser() as browser:
        page = browser.new_page()
        problems, outside = [], []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: outside.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.as_uri())
        lines = page.locator("#circuit svg line")
        before = lines.count()
        assert before > 0
        page.locator("#circuit-prune").fill("0.5")
        assert lines.count() < before
        page.locator("#circuit-prune").fill("0")
        assert lines.count() >= before
        output = data.order[0]
        page.locator("#circuit-search").fill(f"OF_{output}")
        assert page.locator(f"[data-feature='OF_{output}']").count() == 1
        assert page.locator("[data-feature^='OF_']").count() == 1
        page.locator(f"[data-feature='OF_{output}']").click()
        panel = page.locator(".circuit-panel").inner_text()
        assert f"OF_{output}" in panel and "promotes" in panel and "density" in panel and "relu(" in panel
        links = page.locator(".circuit-panel .circuit-edge")
        assert links.count() == sum(edge[1] == output for edge in data.edges)  # all of them
        source = max((edge for edge in data.edges if edge[1] == output), key=lambda edge: edge[3])[0]
        links.first.click()
        assert page.locator(".circuit-panel h3").inner_text() == f"IF_{source}"
        page.locator("#circuit-search").fill("OF_99999")
        assert "; not on this page: OF_99999" in page.locator(".circuit-count").inner_text()
        page.locator("#circuit-search").fill("")
        assert barriers(page) == []
        page.locator("[data-view='prompt']").click()
        assert page.locator(".circuit-prompt span").count() == len(data.prompt.tokens)
        page.locator(".circuit-prompt span[role=button]").first.focus()
        page.keyboard.press("Space")
        assert page.locator(".circuit-prompt span[aria-pressed=true]").count() == 1
        page.goto(path.as_uri() + f"#OF_{output}")
        page.reload()  # a link to a feature chooses it
        assert page.locator(".circuit-panel h3").inner_text() == f"OF_{output}"
        page.locator("[data-view='prompt']").click()
        page.locator(".circuit-prompt span[role=button]").first.click()
        assert "connector's error" in page.locator("#circuit svg").inner_html()
        assert barriers(page) == [] and barriers_of(browser, path) == dict.fromkeys(SCHEMES, [])
    assert not problems and not outside
