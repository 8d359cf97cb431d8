"""The polytope lens on a tiny model: codes against hooks, maps against autograd, the command end to end."""

import json

import numpy as np
import pytest
import torch

from eval.claims import VERDICTS
from eval.errors import UserError
from eval.runs import Run
from eval.scores import Score
from llm_codes.configs.polytopes import PolytopesConfig, PolytopesOptions
from llm_codes.corpus import load_corpus
from llm_codes.lenses.polytopes import rays, stages
from llm_codes.lenses.polytopes.claims import judge, of_clusters, of_density, of_maps, of_rays
from llm_codes.lenses.polytopes.contrast import class_pairs, one_pair_per_class
from llm_codes.lenses.polytopes.control import Measured
from llm_codes.lenses.polytopes.maps import Block, derivative, map_distances, map_errors, secant_gate
from llm_codes.lenses.polytopes.rows import Contrast
from llm_codes.lenses.polytopes.samples import collect, hard_codes, sample_positions
from llm_codes.lenses.polytopes.study import polytopes
from llm_codes.models import load_model
from llm_codes.sites import resolve_site


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model, text_folder):
    return load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=2500, split="all")


def test_six_positions_none_of_the_first_hundred():
    assert sample_positions(1024).tolist() == [100, 285, 469, 654, 838, 1023]
    assert sample_positions(64)[0] == 16 and len(sample_positions(8)) <= 6
    with pytest.raises(UserError, match="expected windows of at least 8 tokens; got 4"):
        sample_positions(4)


def test_codes_are_the_signs_at_the_sampled_tokens(model, corpus):
    sites = [resolve_site(model, kind, 1) for kind in ("mlp_pre", "resid_mid")]
    sample = collect(model, corpus, sites)
    codes = hard_codes(model, sample, [1])
    assert codes.map.input_site == sites[1].hook and len(codes) == len(sample) > 50
    for item in (0, len(sample) // 2):
        row = int(np.flatnonzero(corpus.window == sample.window[item])[0])
        tokens = torch.as_tensor(corpus.tokens[row][None].copy()).long()
        z = model.activations(tokens, sites[:1])[sites[0].hook][0, int(sample.position[item])]
        assert (codes.bits(item)[0] == (z.numpy() > 0)).mean() > 0.99
        assert sample.token[item] == tokens[0, int(sample.position[item])]


def test_block_maps_reproduce_the_block_and_the_tangent_is_nearer_the_jacobian(model):
    block = Block.of(model, 0)
    x = 2 * torch.randn(model.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    errors = map_errors(block, x)
    assert errors.residual < 1e-10
    assert 0 < errors.tangent_to_jacobian < errors.gate_to_jacobian


def test_map_distance_is_the_frobenius_norm_of_the_difference(model):
    block = Block.of(model, 1)
    gates = torch.rand(4, block.w_in.shape[0], dtype=torch.float64)
    maps = [block.w_out @ (g[:, None] * block.linear) for g in gates]
    expected = [float((maps[0] - maps[1]).norm()), float((maps[2] - maps[3]).norm())]
    assert map_distances(block, gates[::2], gates[1::2]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["relu", "gelu", "gelu_new", "silu"])
def test_gates_times_preactivation_is_the_activation(name):
    z = torch.linspace(-3, 3, 31, dtype=torch.float64)
    gate = secant_gate(name, z)
    oracle = {"relu": torch.relu, "silu": torch.nn.functional.silu}.get(
        name, lambda v: torch.nn.functional.gelu(v, approximate="tanh" if name == "gelu_new" else "none")
    )
    assert torch.allclose(gate * z, oracle(z)) and gate.min() >= 0 and gate.max() <= 1
    if name == "relu":
        assert torch.equal(gate[z != 0], derivative(name, z)[z != 0])  # the two maps are one for ReLU only
    else:
        assert not torch.allclose(gate, derivative(name, z))
    with pytest.raises(UserError, match="expected an activation of relu, gelu"):
        secant_gate("sine", z)


def test_pairs_come_from_different_documents_and_the_right_classes():
    generator = np.random.default_rng(0)
    labels, document = generator.integers(-1, 6, 200), generator.integers(0, 9, 200)
    pairs = class_pairs(labels, document)
    assert (labels[pairs.first] == labels[pairs.same]).all() and (labels[pairs.first] != labels[pairs.other]).all()
    assert (document[pairs.first] != document[pairs.same]).all() and (labels[pairs.other] >= 0).all()
    assert pairs.n_classes == 6 and len(class_pairs(np.full(5, -1), np.arange(5)).first) == 0


def test_exact_densities_draw_over_classes_not_over_the_most_frequent():
    generator = np.random.default_rng(0)
    labels, document = generator.integers(0, 40, 900), generator.integers(0, 9, 900)
    pairs = class_pairs(labels, document)
    rows = one_pair_per_class(pairs, 24, seed=1)
    assert len(rows) == 24 == len(set(pairs.of_class[rows])) and pairs.of_class[rows].max() > 23
    assert len(one_pair_per_class(pairs, 100)) == pairs.n_classes == 40


def test_rays_scale_one_activation_in_its_whole_window(model, text_folder, monkeypatch):
    corpus = load_corpus(str(text_folder), model.tokenizer, context=64, n_tokens=2500, split="all")
    sample = collect(model, corpus, [resolve_site(model, "resid_pre", 1)])
    seen = []

    def ray(model, tokens, stream, pre, vector):
        seen.append(tokens)
        return np.ones(24), np.zeros(24, dtype=bool)

    monkeypatch.setattr(rays, "_ray", ray)
    found = rays.scale_rays(model, corpus, sample, 1, 40)
    assert max(map(len, seen)) == 64 and all(int(tokens[0]) == corpus.tokens[0, 0] for tokens in seen)  # from BOS on
    noise = rays.scale_rays(model, corpus, sample, 1, 40, noise=True)
    assert (noise.document == found.document).all() and all(map(torch.equal, seen[:40], seen[40:]))


def test_the_shared_window_before_the_ray_changes_nothing(model, corpus, monkeypatch):
    sample = collect(model, corpus, [resolve_site(model, "resid_pre", 1)])
    shared = rays.scale_rays(model, corpus, sample, 1, 4)
    monkeypatch.setattr(rays, "last_logits", lambda model, tokens, count, hooks: model.logits(
        tokens[None].expand(count, -1), hooks)[:, -1])  # fmt: skip
    whole = rays.scale_rays(model, corpus, sample, 1, 4)
    assert shared.density == pytest.approx(whole.density, rel=0.02) and (shared.changed == whole.changed).all()
    assert shared.density.max() > 0


def _rays(change_beyond, density_beyond=0.1, n=30):
    density = np.where(rays.SCALES[:-1] < 1, 1.0, density_beyond)[None].repeat(n, 0)
    changed = np.zeros((n, 24), dtype=bool)
    changed[: round(change_beyond * n), 20] = True
    return rays.Rays(density, changed, np.arange(n))


def test_changes_far_out_are_judged_against_noise_and_only_where_boundaries_are_sparse():
    def verdict(own, noise, untrained=0.2):
        found = {"trained": own, "matched noise": noise}
        found |= {} if untrained is None else {"untrained": _rays(untrained)}
        return next(claim for claim in of_rays(found, None, None, 0) if "still changes" in claim.claim)

    assert verdict(_rays(0.8), _rays(0.1)).verdict == "holds"
    assert verdict(_rays(0.8), _rays(0.1), untrained=0.9).verdict == "holds, and so does its control"
    assert verdict(_rays(0.8), _rays(0.1), untrained=None).verdict == "cannot tell"  # noise alone no longer suffices
    assert verdict(_rays(0.4), _rays(0.5)).verdict != "holds"  # any hit at all used to do
    assert verdict(_rays(0.1), _rays(0.8)).verdict == "fails"
    assert verdict(_rays(0.8, density_beyond=2.0), _rays(0.1)).verdict == "fails"
    assert "matched noise 0.1" in verdict(_rays(0.8), _rays(0.1)).note
    with pytest.raises(UserError, match="expected a control on the same rays"):
        _rays(0.8).changes_above(_rays(0.1, n=29))


def test_footnote_needs_more_than_any_correlation_and_more_than_the_untrained_networks():
    high, low = Score(0.7, 0.6, 0.8), Score(0.3, 0.2, 0.4)
    assert of_maps(low, low).verdict == "fails" and of_maps(high, low).verdict == "holds"
    for control in (high, Score(0.95, 0.9, 1.0)):  # holds for an untrained network as well
        assert of_maps(high, control).verdict == "holds, and so does its control"
    assert of_maps(high).verdict == "cannot tell" and "no control was measured" in of_maps(high).note


def _measured(share: Score, contrast: Score) -> Measured:
    by_class = {"token": Contrast(contrast, contrast)}
    return Measured(share, share, share, share, "", by_class, share)


def test_no_statement_holds_where_its_untrained_control_holds():
    strong, weak = Score(0.9, 0.85, 0.95), Score(0.2, 0.1, 0.3)
    also = "holds, and so does its control"
    for control, verdict in ((weak, "holds"), (strong, also), (Score(0.99, 0.98, 1.0), also)):
        own, other = _measured(strong, strong), _measured(control, control)
        claims = [*of_clusters(own, other), *of_density(own.contrast, other.contrast)]
        assert {claim.verdict for claim in claims} == {verdict}
        assert all(list(claim.controls or {}) == ["untrained"] for claim in claims)
    assert {claim.verdict for claim in of_clusters(_measured(strong, strong), None)} == {"cannot tell"}


def test_an_untrained_network_has_no_statement_that_holds(tiny_model_folder, text_folder):
    model = load_model(str(tiny_model_folder), untrained=True)
    corpus = load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=2500, split="all")
    found = polytopes(model, corpus, OPTIONS, rays=0)
    assert found.results.control is None
    assert "holds" not in {claim.verdict for claim in judge(found, 0)}


def test_half_precision_is_said_although_activations_are_kept_in_float32(tiny_model_folder, text_folder):
    model = load_model(str(tiny_model_folder), dtype="bfloat16")
    corpus = load_corpus(str(text_folder), model.tokenizer, context=32, n_tokens=2500, split="all")
    sample = collect(model, corpus, [resolve_site(model, "mlp_pre", 1)])
    with pytest.warns(UserWarning, match="codes from bfloat16: .* lie within rounding of their threshold"):
        assert hard_codes(model, sample, [1]).near_zero.mean() > 0.001


def test_too_few_tokens_for_pairs_are_reasons_not_a_traceback(tiny_model_folder, text_folder, tmp_path):
    from llm_codes.__main__ import main

    out = tmp_path / "run"
    arguments = f"--model {tiny_model_folder} --corpus {text_folder} --split all --tokens 32 --context 32 --rays 2"
    arguments += " --dictionary-steps 0"
    assert main(["polytopes", *arguments.split(), "--layers", "0:", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    none = [row for row in results["density"] if row["n_classes"] == 0]
    assert none and all("no class has tokens in two documents" in row["intra_reason"] for row in none)
    judged = [row for row in results["predictions"] if row["prediction"] == "PL prediction 2"]
    assert {row["verdict"] for row in judged} == {"cannot tell"} and all(row["note"] for row in judged)


def test_command_writes_the_documented_results(tiny_model_folder, text_folder, tmp_path):
    from llm_codes.__main__ import main

    out = tmp_path / "run"
    arguments = f"--model {tiny_model_folder} --corpus {text_folder} --split all --tokens 2500 --context 32"
    status = main(["polytopes", *arguments.split(), "--layers", "0:", "--rays", "2", "--features", "6",
                   "--directions", "6", "--dictionary-steps", "5", "--out", str(out)])  # fmt: skip
    assert status == 0
    results = json.loads((out / "results.json").read_text())
    assert set(results["clusters"]) == {"codes", "activations"} and results["clusters"]["codes"]["approximate"] is False
    assert {row["count"] for row in results["density"]} == {"Hamming"} and len(results["density"]) == 4
    assert {"nmf", "pca", "boundaries"} <= set(results["directions"])
    assert all(row["label"] == "exact" for row in results["directions"]["boundaries"])
    assert all(row["verdict"] in VERDICTS and "ci" in row for row in results["predictions"])
    assert {"PL prediction 1", "PL prediction 2", "PL prediction 3", "PL footnote"} <= {
        row["prediction"] for row in results["predictions"]
    }
    page = (out / "report.html").read_text()
    assert "Polytopes" in page and "http" not in page.split("<body")[1].replace("http://www.w3.org", "")
    tables = {path.stem: path.read_text().splitlines() for path in (out / "tables").glob("*.csv")}
    names = {"predictions", "density", "clusters", "directions", "boundaries", "rays", "dictionaries"}
    assert set(tables) == names | {"flow", "interventions"}
    assert [(row["network"], row["first"], row["second"]) for row in results["flow"]] == [
        ("trained", 0, 1), ("untrained", 0, 1)
    ]  # fmt: skip
    assert len(results["interventions"]) <= 16  # of each network up to four clusters, continued and mirrored
    assert len(results["neurons"]) <= 6
    assert len(tables["predictions"]) == 1 + len(results["predictions"]) and len(tables["density"]) == 5
    bases = {(row["basis"], row["method"].split(",")[0]) for row in results["dictionary"]}
    assert {("codes", "TopK SAE"), ("activations", "TopK SAE"), ("codes", "NMF")} <= bases
    assert results["dictionary"][0]["n_features"] == 2 * results["code"]["map"]["n_bits"]
    assert all(row["projection_monosemantic"] <= row["projection_clusters"]
               for row in results["directions"]["nmf"]["rows"])  # fmt: skip
    assert (out / "clusters.txt").exists() and (out / "figures" / "density.png").exists()


def test_layers_outside_the_model_are_one_line(tiny_model_folder, text_folder, tmp_path, capsys):
    from llm_codes.__main__ import main

    arguments = f"--model {tiny_model_folder} --corpus {text_folder} --split all --context 32 --layers 7:9"
    assert main(["polytopes", *arguments.split(), "--out", str(tmp_path / "run")]) == 2
    assert "expected layers within 0..1" in capsys.readouterr().err


OPTIONS = PolytopesOptions(layers="0:", rays=2, features=6, directions=6, dictionary_steps=0)


def test_a_script_says_the_commands_options_by_name_and_has_its_defaults(model, corpus):
    assert PolytopesConfig(out="x").polytopes == PolytopesOptions() and PolytopesOptions().dictionary_steps == 400
    found = polytopes(model, corpus, OPTIONS, rays=0, batch_size=4)
    assert found.rays == {} and found.results.code.n_items == len(found.code_labels)
    with pytest.raises(UserError, match="unknown option 'ray' of PolytopesOptions"):
        polytopes(model, corpus, ray=3)


def test_a_finished_run_walks_no_text_and_a_lost_stage_is_computed_again(model, corpus, tmp_path, monkeypatch):
    walked = []
    monkeypatch.setattr(stages, "collect", lambda *a, **k: walked.append(1) or collect(*a, **k))
    first = polytopes(model, corpus, OPTIONS, run=Run(tmp_path))
    again = polytopes(model, corpus, OPTIONS, run=Run(tmp_path))
    assert len(walked) == 2 and again.results == first.results  # the network and its untrained control, once
    assert judge(again, 0) == judge(first, 0)
    np.testing.assert_array_equal(again.code_labels, first.code_labels)
    next(iter((tmp_path / "items").glob("*density*.json"))).unlink()
    third = polytopes(model, corpus, OPTIONS, run=Run(tmp_path))
    assert len(walked) == 3 and third.results == first.results
