"""The polytope lens on small convolutional networks: model loading, controls, paths, patches, the whole command."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from eval.claims import VERDICTS
from eval.errors import UserError
from eval.measures.geometry.segments import segment_crossings
from eval.measures.geometry.tracing import trace
from eval.runs import Run, json_text
from eval.scores import Score
from vision_codes.__main__ import main
from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.inputs import balanced
from vision_codes.lenses.polytopes.chapter import write_page
from vision_codes.lenses.polytopes.claims import _scaling_claims, documented
from vision_codes.lenses.polytopes.controls import CONTROLS, control
from vision_codes.lenses.polytopes.density import choose_layers, layer_densities
from vision_codes.lenses.polytopes.patches import channel_vectors, class_entropy, patch_sites
from vision_codes.lenses.polytopes.rays import NOISE, scaling, scaling_summary
from vision_codes.lenses.polytopes.results import ImagePolytopes, ResultsFile, ScalingRow
from vision_codes.lenses.polytopes.study import polytopes
from vision_codes.models import VisionModel, load_model


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6())
        self.layer1 = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.layer2 = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer2(self.pool(self.layer1(self.stem(x)))))


SMALL = PolytopesConfig(
    out="", pairs=3, samples=5, patches=200, slice_regions=60, exact_up_to=0, probes=4, controls=False
)


@pytest.fixture(scope="module")
def small() -> VisionModel:
    torch.manual_seed(0)
    return VisionModel("small", _Small().eval(), 32, tuple(map(str, range(10))), "random")


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 3)
    return generator.integers(0, 256, (30, 3, 32, 32), dtype=np.uint8), labels


def test_controls_change_what_they_say_and_leave_the_network_alone(small: VisionModel) -> None:
    before = {k: v.clone() for k, v in small.module.state_dict().items()}
    x = torch.randn(20, 3, 32, 32)
    made = {kind: control(small.module, kind, x) for kind in CONTROLS}
    assert all(torch.equal(v, before[k]) for k, v in small.module.state_dict().items())
    first = {kind: module.stem[0].weight for kind, module in made.items()}  # type: ignore[index, union-attr]
    own = small.module.stem[0].weight  # type: ignore[index, union-attr]
    for kind in ("shuffled weights", "recalibrated BatchNorm"):
        assert torch.equal(first[kind].flatten().sort().values, own.flatten().sort().values)
        assert not torch.equal(first[kind], own)
    assert (made["init with random biases"].stem[1].bias.std()) > 0.1  # type: ignore[index, union-attr]
    recalibrated = made["recalibrated BatchNorm"].stem  # type: ignore[union-attr]
    with torch.no_grad():
        out = recalibrated[1](recalibrated[0](x))  # type: ignore[index]
    assert float(out.mean((0, 2, 3)).abs().max()) < 0.1 and not any(m.training for m in made["init"].modules())
    with pytest.raises(UserError, match="unknown control 'shuffled': did you mean shuffled weights"):
        control(small.module, "shuffled", x)


def test_layers_are_cuts_in_order_and_unknown_ones_are_named(small: VisionModel) -> None:
    program = trace(small.module, torch.zeros(3, 32, 32))
    layers = choose_layers(program, count=4)
    ahead = [len(program.tail(layer).sites) for layer in layers]
    assert ahead == sorted(ahead, reverse=True) and ahead[0] == 5 and ahead[-1] >= 1
    assert choose_layers(program, ("pool",)) == ("pool",)
    with pytest.raises(UserError, match="unknown layer 'poll': did you mean pool"):
        choose_layers(program, ("poll",))


def test_layer_densities_agree_with_codes_and_distances_by_hand(small: VisionModel, images) -> None:
    program = trace(small.module, torch.zeros(3, 32, 32))
    x = small.inputs(images[0])
    found = layer_densities(program, x, images[1], ("input", "pool"), batch_size=7)
    from eval.measures.codes.program_codes import site_codes

    with torch.no_grad():
        carried = program.values_at(x, ["pool"])["pool"]
        own = site_codes(program.tail("pool"), [carried])
    distance = sum(int(code.hamming_matrix()[2, 17]) for code in own.values())
    assert found.distances[1][2, 17] == distance
    length = float((carried[2] - carried[17]).double().norm())
    assert found.densities[1][2, 17] == pytest.approx(distance / length, rel=1e-6)
    assert found.distances[0][2, 17] > distance


def test_homogeneous_control_has_no_crossing_along_rays(small: VisionModel) -> None:
    module = control(small.module, "init", torch.zeros(1, 3, 32, 32))
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
        if isinstance(part, nn.ReLU6):
            part.max_val = 1e9  # six is a bias too
    program = trace(module, torch.zeros(3, 32, 32))
    x = torch.randn(2, 3, 32, 32)
    assert segment_crossings(program, 1e-3 * x[0], 3 * x[0]).count == 0
    paths = scaling(
        program.tail("pool"), "pool", torch.rand(4, 8, 8, 8), np.array([0, 0, 1, 1]), 4, exact_up_to=10**6, samples=5
    )
    summary = scaling_summary(paths)
    assert summary.crossings_per_path == 0 and not summary.log2_peak.is_defined
    assert "homogeneous" in str(summary.log2_peak.reason)


def test_class_entropy_and_balanced_choice() -> None:
    assert class_entropy(np.array([3, 3, 3]), 5) == 0
    assert class_entropy(np.array([0, 1, 2, 3]), 4) == pytest.approx(2)
    labels = np.array([0] * 50 + [1] * 3 + [2] * 50)
    assert np.bincount(labels[balanced(labels, 15, 0)]).tolist() == [6, 3, 6]


@pytest.fixture(scope="module")
def analysis(small: VisionModel, images):
    return polytopes(small, *images, SMALL)


def test_the_page_shows_every_claim_with_its_controls(analysis, images, tmp_path: Path) -> None:
    found, artefacts = analysis
    judged = documented(found, artefacts.trends)
    with Run.open(replace(SMALL, out=str(tmp_path / "run"))) as run:
        whole = run.finish(ResultsFile(found, judged, {}).to_json(), model={"name": "small"})
        write_page(run, whole, artefacts, images[0], tuple(map(str, range(10))))
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert any(claim.controls for claim in judged.claims) and NOISE in page
    assert all(html.escape(claim.claim) in page for claim in judged.claims)


def test_the_whole_analysis_has_the_documented_keys(small: VisionModel, images, analysis) -> None:
    config, (found, artefacts) = SMALL, analysis
    results = ResultsFile(found, documented(found, artefacts.trends), {}).to_json()
    assert ImagePolytopes.from_json(json.loads(json_text(found.to_json()))) == found
    assert {"clusters", "density", "predictions", "scaling", "interpolation", "noise", "affine_maps"} <= set(results)
    assert {p["verdict"] for p in results["predictions"]} <= set(VERDICTS)
    assert set(results["predictions"][0]) == {"prediction", "verdict", "number", "ci"}
    assert {row["counting"] for row in results["interpolation"]} <= {"exact", "sampled lower bound"}
    assert {row["network"] for row in results["scaling"]} == {"trained", NOISE}
    assert {row["layer"] for row in results["scaling"]} == set(results["network"]["path_layers"])
    by_site = results["clusters"]["by_site"]
    assert len(by_site) == len({row["site"] for row in by_site}) > 1
    assert results["clusters"]["codes"]["n_clusters"] > 0 or all(row["reason"] for row in by_site)
    facts = results["slices"]["late"]
    assert facts["relative_area_error"] < 1e-6 and facts["centroid_codes_distinct"] == facts["centroid_codes_checked"]
    assert artefacts.slices["late"][0].n_regions == facts["n_regions"]
    (position,) = results["fixed_position"]
    assert len(position["flow"]) == len(by_site) - 1 and {r["of"] for r in position["clusters"]} >= {"codes"}
    assert [row["network"] for row in results["directions"]] == ["trained"] and artefacts.cosines is not None
    (way,) = results["ways_out"]
    assert way["n_images"] == 8 and (way["relative_length"] is None or way["relative_length"] > 0)
    ways = [(row["cluster"], row["values"]) for row in results["interventions"]]
    assert len(ways) == len(set(ways)) <= 8 and {values for _, values in ways} <= {"continued", "mirrored"}
    assert all(row["n_images"] == 16 for row in results["interventions"])
    with pytest.raises(UserError, match="at least 4 images of 2 classes; got 3 of 1"):
        polytopes(small, images[0][:3], images[1][:3], config)


def test_every_claim_carries_the_controls_that_live(small: VisionModel, images) -> None:
    """Each control is measured the same way: density and its trend, rays, local maps, clusters at the same site."""
    config = replace(SMALL, controls=True, pairs=2, patches=100, slice_regions=10)
    found, artefacts = polytopes(small, images[0][:16], images[1][:16], config)
    living = set(CONTROLS) - set(found.network.dead_controls)
    assert living and set(artefacts.trends) == {"trained", *living}
    assert {row.network for row in found.affine_maps_of_controls} == living
    assert {row.network for row in found.ways_out} == {"trained", *living} == {row.network for row in found.directions}
    assert {one.clusters[0].network for one in found.fixed_position} == {"trained", *living}
    assert {row.network for row in found.clusters.controls} == (living if found.clusters.codes.n_clusters else set())
    for claim in documented(found, artefacts.trends).claims:
        expected = living | ({NOISE} if claim.claim.startswith("P3") else set())
        if not claim.claim.startswith("P1 (images): clusters of channel") or found.clusters.controls:
            assert set(claim.controls or ()) == expected, claim.claim


def test_models_are_loaded_by_name_or_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown model 'googlnet': did you mean googlenet"):
        load_model("googlnet")
    with pytest.raises(UserError, match="there is no such file"):
        load_model(str(tmp_path / "weights.pt"))
    with pytest.raises(UserError, match="at least 32 pixels; got 8"):
        load_model("resnet18", image_size=8)
    model = load_model("resnet18", untrained=True, seed=3)
    torch.save(model.module.state_dict(), tmp_path / "weights.pt")
    again = load_model(str(tmp_path / "weights.pt"), image_size=64)
    assert again.name == "resnet18" and again.image_size == 64
    assert again.provenance()["sha256"] == model.provenance()["sha256"]
    torch.save(model.module.state_dict(), tmp_path / "googlenet")  # any existing file, even with another model's name
    assert load_model(str(tmp_path / "googlenet"), image_size=64).provenance()["sha256"] == again.provenance()["sha256"]
    with pytest.raises(UserError, match="unknown model"):
        load_model(str(tmp_path / "no-such-file"))
    (tmp_path / "bad.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="expected a state dict in bad.pt"):
        load_model(str(tmp_path / "bad.pt"))
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other.pt holds 'a'"):
        load_model(str(tmp_path / "other.pt"))


def _scaling_row(network: str, log2_ratio: float, changed: float) -> ScalingRow:
    none = Score.undefined("not asked")
    high = Score(log2_ratio, log2_ratio - 0.05, log2_ratio + 0.05)
    share = Score(changed, max(0, changed - 0.1), min(1, changed + 0.1))
    flat = np.zeros(30)
    return ScalingRow(
        "a", "exact", 8, high, share, flat, 1.0, None, None, none, none, none, none, "flat", None, None, None,
        log2_ratio, 0.4, 0.5, flat, network=network,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "control", "verdict"),
    [
        ((1.69, 0.9), (1.0, 0.2), "holds"),
        ((1.69, 0.9), (1.66, 0.85), "holds, and so does its control"),  # what a control shows says nothing of training
        ((1.69, 0.2), (1.0, 0.9), "holds, and so does its control"),
        ((-0.5, 0.9), (-1.0, 0.2), "fails"),  # classes change, but boundaries are not fewer
    ],
)
def test_classes_beyond_are_judged_against_the_highest_control(own, control, verdict) -> None:
    rows = [_scaling_row("trained", *own), _scaling_row("shuffled weights", *control), _scaling_row("init", 0.0, 0.0)]
    claim = _scaling_claims(rows)[1]
    assert claim.verdict == verdict and "shuffled weights" in claim.note


def test_patches_are_clustered_at_several_depths(small: VisionModel, images) -> None:
    program = trace(small.module, torch.zeros(3, 32, 32))
    assert len(patch_sites(program, 2)) == 2 and patch_sites(program)[-1] == program.sites[0].site
    with pytest.raises(UserError, match="unknown site 'stem.2:relu7'"):
        channel_vectors(program, small.inputs(images[0][:2]), count=4, site="stem.2:relu7")


@pytest.mark.slow
def test_the_command_runs_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "r.pt"
    torch.save(load_model("resnet18", untrained=True).module.state_dict(), weights)
    out = tmp_path / "run"
    options = "--images 20 --image-size 32 --pairs 2 --samples 5 --patches 200 --slice-regions 50 --slice-size 0"
    assert main(["polytopes", "--model", str(weights), "--data", "synthetic", *options.split(), "--out", str(out)]) == 0
    assert "verdict" in capsys.readouterr().out
    results = json.loads((out / "results.json").read_text())
    assert results["provenance"]["model"]["name"] == "resnet18"
    page = (out / "report.html").read_text()
    assert "Polytopes" in page and "http://" not in page.replace("http://www.w3.org", "")
