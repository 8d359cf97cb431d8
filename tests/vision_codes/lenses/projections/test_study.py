"""Projections of a moving stimulus: closed form against draws at every site, oracles, stimuli, bad input."""

import json

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.projections.projection import circle_code, explained_variance
from eval.runs import Run
from vision_codes.__main__ import main
from vision_codes.configs.train import Recipe
from vision_codes.data import load_images
from vision_codes.harvest import Site
from vision_codes.lenses.projections.readout import arc_masks, explained_variances
from vision_codes.lenses.projections.results import SiteProjections
from vision_codes.lenses.projections.study import project_site, projections, refine, site_projections
from vision_codes.lenses.projections.trajectory import Trajectory
from vision_codes.lenses.training.study import train
from vision_codes.resnet_vae import build
from vision_codes.stimuli import drifting_grating, moving_dot
from vision_codes.vae_architecture import Architecture

ARCHITECTURE = Architecture(image_size=32, base_width=8, fully_connected=16, latent=4, pooling="flatten")


@pytest.fixture(scope="module")
def model():
    return build(ARCHITECTURE, 0).eval()


@pytest.fixture(scope="module")
def records(model):
    return projections(model, frames=80, projections=400, refinements=(20, 40, 80)).sites


def test_sampled_action_is_within_three_standard_errors_at_every_site(records):
    assert len(records) == 17
    for row in records:
        error = abs(row.action.value - row.action_sampled)
        assert error < 3 * row.action_sampled_standard_error, row.site
        assert row.minimum_action_per_variance < row.minimum_action_per_variance_sampled
        assert SiteProjections.from_json(json.loads(json.dumps(row.to_json(), allow_nan=False))) == row


def test_rotation_into_the_frames_subspace_changes_nothing():
    frames = np.random.default_rng(0).standard_normal((40, 600)).cumsum(0)
    trajectory = Trajectory.of(frames)
    steps = np.diff(np.concatenate([frames, frames[:1]]), axis=0)
    row, _ = project_site(Site("a", 1, (600, 1, 1)), frames, moving_dot(40, image_size=16))
    assert trajectory.rank == 39 and row.action.value == pytest.approx(3 * 40 / (2 * 600) * np.square(steps).sum())
    oracle = np.linalg.eigvalsh(np.cov(frames.T, bias=True))[::-1][:39]
    np.testing.assert_allclose(trajectory.eigenvalues(), oracle, rtol=1e-8)
    assert row.action_per_trace == pytest.approx(row.action.value / np.var(frames, axis=0).sum() * 600)


def test_explained_variance_of_many_projections_is_the_one_of_each():
    generator = np.random.default_rng(0)
    stimulus = moving_dot(64, image_size=16, channels=1)
    paths = np.stack([stimulus.coordinates @ generator.standard_normal((2, 3)) for _ in range(4)])
    paths += 0.3 * generator.standard_normal(paths.shape)
    for mask in arc_masks(64)[::3]:
        for target in (stimulus.coordinates, stimulus.pixels):
            found = explained_variances(paths, target, mask[None])
            oracle = [explained_variance(path, target, mask) for path in paths]
            np.testing.assert_allclose(found, oracle, rtol=1e-6, atol=1e-8)


def test_a_projection_that_is_the_stimulus_explains_it_and_noise_does_not():
    stimulus = moving_dot(64, image_size=16)
    perfect = np.column_stack([stimulus.coordinates, np.zeros(64)])[None]
    assert explained_variances(perfect, stimulus.coordinates)[0] == pytest.approx(1, abs=1e-9)
    noise = np.random.default_rng(0).standard_normal((50, 64, 3))
    assert np.median(explained_variances(noise, stimulus.coordinates)) < 0.05
    with pytest.raises(UserError, match="expected a stimulus that varies"):
        explained_variances(perfect, np.ones((64, 2)))


@pytest.mark.parametrize(("exponent", "slope"), [(-1.5, 1.5), (-3.5, 0.0)])
def test_refinement_slope_of_a_power_law_code_on_a_circle(exponent, slope):
    found = refine(circle_code(4096, 8192, exponent), (128, 256, 512, 1024)).slope
    assert found == pytest.approx(slope, abs=0.15)


def test_arcs_cover_the_circle_once():
    masks = arc_masks(50, 8)
    assert (masks.sum(0) == 1).all() and all((np.diff(np.flatnonzero(mask)) == 1).all() for mask in masks)


def test_a_site_that_does_not_move_is_undefined_with_the_reason():
    row, arrays = project_site(Site("a", 1, (30, 1, 1)), np.ones((20, 30)), moving_dot(20, image_size=16))
    assert "span 0 dimensions" in row.action.reason and not row.moves and not arrays
    assert set(row.to_json()) == {"site", "layer", "width", "action", "action_reason"}


def test_dot_stands_where_it_should_and_moves_continuously():
    stimulus = moving_dot(8, image_size=64, radius=0.3, dot_size=0.1)
    row, column = np.mgrid[0:64, 0:64] + 0.5
    for frame, (cosine, sine) in zip(stimulus.frames[:, 0], stimulus.coordinates, strict=True):
        weight = frame / frame.sum()
        assert (weight * column).sum() == pytest.approx(64 * (0.5 + 0.3 * cosine), abs=0.05)
        assert (weight * row).sum() == pytest.approx(64 * (0.5 + 0.3 * sine), abs=0.05)
        assert frame.sum() == pytest.approx(np.pi * 6.4**2, rel=0.01)
    fine = moving_dot(2000, image_size=64)
    assert np.abs(np.diff(fine.frames, axis=0)).max() < 0.1


def test_grating_drifts_by_one_period_and_noise_is_reproducible():
    grating = drifting_grating(40, image_size=32, channels=1, cycles=4)
    np.testing.assert_allclose(grating.frames[20], 1 - grating.frames[0], atol=1e-6)
    spectrum = np.abs(np.fft.fft2(grating.frames[3, 0]))
    spectrum[0, 0] = 0
    assert np.unravel_index(spectrum.argmax(), spectrum.shape)[1] in (4, 28)
    noisy = [moving_dot(5, image_size=16, noise=0.1, seed=s).frames for s in (0, 0, 1)]
    assert np.array_equal(noisy[0], noisy[1]) and not np.array_equal(noisy[0], noisy[2])
    assert noisy[0].min() >= 0 and noisy[0].max() <= 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: moving_dot(2), "expected at least 3 frames; got 2"),
        (lambda: moving_dot(radius=0.45, dot_size=0.1), "the dot would leave the picture"),
        (lambda: moving_dot(noise=-1), "expected noise >= 0"),
        (lambda: drifting_grating(contrast=2), r"expected contrast in \(0, 1\]"),
        (lambda: drifting_grating(image_size=16, cycles=9), "finer gratings alias"),
    ],
)
def test_stimuli_that_cannot_be_are_refused(make, text):
    with pytest.raises(UserError, match=text):
        make()


def test_refinements_must_divide_and_stimuli_are_suggested(model):
    with pytest.raises(UserError, match="expected frame counts that divide the largest"):
        projections(model, refinements=(30, 100))
    with pytest.raises(UserError, match="unknown --stimulus 'dots': did you mean dot"):
        projections(model, "dots")
    with pytest.raises(UserError, match="expected --projections a whole number of at least 2; got 0"):
        projections(model, projections=0)


def test_command_writes_documented_keys_and_figures(tmp_path):
    folder = tmp_path / "trained"
    data = load_images("synthetic", n=40), load_images("synthetic", "test", n=10)
    train(build(ARCHITECTURE, 0), *data, Recipe(epochs=1, batch_size=20), Run(folder))
    arguments = [
        "projections",
        "--model",
        str(folder),
        "--sites",
        "relu,layer4.1.relu2",
        "--frames",
        "60",
        "--threads",
        "1",
    ]
    arguments += [
        "--projections",
        "50",
        "--refinements",
        "20,40",
        "--stimulus",
        "grating",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(arguments) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {"site", "layer", "action", "action_sampled", "explained_pixels", "refinement_slope"} <= set(
        results["sites"][0]
    )
    assert results["stimulus"]["name"] == "grating" and (tmp_path / "run" / "figures" / "actions.png").exists()
    assert "Random projections of a moving grating" in (tmp_path / "run" / "report.html").read_text()


def test_a_killed_run_measures_only_the_sites_that_were_not_done(tmp_path, monkeypatch):
    folder = tmp_path / "trained"
    data = load_images("synthetic", n=40), load_images("synthetic", "test", n=10)
    train(build(ARCHITECTURE, 0), *data, Recipe(epochs=1, batch_size=20), Run(folder))
    arguments = ["projections", "--model", str(folder), "--sites", "relu,layer4.1.relu2", "--frames", "60"]
    arguments += ["--threads", "1", "--projections", "20", "--refinements", "20,40"]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    item = Run.item

    def killed(self, name, compute, **options):
        if name == "projections-layer4.1.relu2":
            raise KeyboardInterrupt
        return item(self, name, compute, **options)

    monkeypatch.setattr(Run, "item", killed)
    assert main([*arguments, "--out", str(tmp_path / "broken")]) == 130
    monkeypatch.setattr(Run, "item", item)
    seen = []

    def watched(model, stimulus, options, **more):
        seen.extend(options.sites)
        return site_projections(model, stimulus, options, **more)

    monkeypatch.setattr("vision_codes.lenses.projections.command.site_projections", watched)
    assert main([*arguments, "--out", str(tmp_path / "broken")]) == 0
    assert seen == ["layer4.1.relu2"]
    rows = [json.loads((tmp_path / name / "results.json").read_text())["sites"] for name in ("whole", "broken")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--projections", "1"], "expected --projections a whole number of at least 2; got 1"),
        (["--noise", "nan"], "expected --noise a number of at least 0; got nan"),
        (["--frames", "2"], "expected --frames a whole number of at least 3; got 2"),
        (["--radius", "0.45", "--dot-size", "0.1"], "the dot would leave the picture"),
        (["--refinements", "50"], "expected at least 2 frame counts in --refinements, or none; got 50"),
    ],
)
def test_impossible_values_are_refused_before_any_work(tmp_path, capsys, flags, text):
    assert main(["projections", "--model", "nowhere", *flags, "--out", str(tmp_path / "run")]) == 2
    assert text in capsys.readouterr().err and not (tmp_path / "run").exists()
