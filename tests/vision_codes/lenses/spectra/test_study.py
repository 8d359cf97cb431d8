"""Spectra at ReLU sites: planted exponents injected at a site come back, wide sites agree with narrow ones."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from eval.errors import UserError
from eval.runs import Run
from vision_codes.__main__ import main
from vision_codes.configs.train import Recipe
from vision_codes.data import load_images
from vision_codes.harvest import Keep, Site, activations, harvest, sites
from vision_codes.lenses.spectra.eigenfilters import eigenfilters
from vision_codes.lenses.spectra.steps import step_of
from vision_codes.lenses.spectra.study import GIGABYTE, predicted_bytes, spectra
from vision_codes.lenses.training.study import train
from vision_codes.resnet_vae import build
from vision_codes.stimuli import phase_scrambled, random_images
from vision_codes.vae_architecture import Architecture

ARCHITECTURE = Architecture(image_size=32, base_width=8, fully_connected=16, latent=4, dropout=0.5, pooling="flatten")


@pytest.fixture(scope="module")
def model():
    return build(ARCHITECTURE, 0).eval()


@pytest.fixture(scope="module")
def images():
    return load_images("synthetic", n=150).images


def planted(width: int, exponent: float, seed: int):
    """An injection that replaces a site's output by Gaussians with eigenvalues i^exponent in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64)).Q
    scale = torch.arange(1, width + 1, dtype=torch.float64) ** (exponent / 2)

    def inject(output: torch.Tensor) -> torch.Tensor:
        drawn = torch.randn(len(output), width, generator=generator, dtype=torch.float64) * scale
        return (drawn @ basis.T).reshape(output.shape).float()

    return inject


@pytest.mark.parametrize(
    ("site", "exponent"), [("layer3.0.relu1", -1.0), ("layer4.1.relu2", -1.6), ("layer2.0.relu2", -0.8)]
)
def test_planted_exponent_at_a_site_lies_in_most_intervals(model, site, exponent):
    """Draws 0 to 3 of each site: a 95% interval may miss one of four, and none may be far off."""
    width = sites(model, [site])[0].width
    blank = np.zeros((900, 3, 32, 32), np.uint8)
    covered = []
    for seed in range(4):
        row = spectra(model, blank, sites=site, inject={site: planted(width, exponent, seed)}).sites[0]
        low, high = row.alpha_corrected.interval
        covered.append(low <= exponent <= high)
        assert high - low < 0.1 and row.alpha_corrected.value == pytest.approx(exponent, abs=0.08)
        assert row.largest_step < 0.3 and row.method == "covariance of all units"
    assert sum(covered) >= 3, covered


def test_wide_site_by_gram_matrix_equals_numpy_and_subsampling_is_said(model, images):
    rows = activations(model, images, ["relu"])["relu"].astype(np.float64)
    oracle = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2 / (len(rows) - 1)
    found = spectra(model, images, sites="relu", correct=False)
    np.testing.assert_allclose(found.eigenvalues["relu"][:100], oracle[:100], rtol=1e-5)
    assert found.sites[0].method == "exact Gram matrix of all units" and found.sites[0].width == 2048
    few = spectra(model, images, sites="relu", correct=False, max_units=200).sites[0]
    assert few.method == "exact Gram matrix of 200 random units of 2048" and few.width == 2048


def test_narrow_site_by_covariance_equals_numpy(model, images):
    rows = activations(model, images, ["layer4.0.relu1"])["layer4.0.relu1"].astype(np.float64)
    oracle = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    found = spectra(model, images, sites="layer4.0.relu1", correct=False)
    np.testing.assert_allclose(found.eigenvalues["layer4.0.relu1"][:40], oracle[:40], rtol=1e-5)


def test_a_step_is_found_where_it_was_planted_and_a_power_law_has_none():
    index = np.arange(1, 301.0)
    plain = step_of(index**-1.2)
    assert plain.largest_step == pytest.approx(0, abs=1e-9) and plain.residual == pytest.approx(0, abs=1e-9)
    stepped = step_of(index**-1.2 * np.where(index > 30, 0.2, 1.0))
    assert stepped.largest_step_index == 30 and stepped.largest_step > 1.0 and stepped.residual > 0.1
    short = step_of(np.ones(20))
    assert short.largest_step is None and "20 positive eigenvalues" in short.largest_step_reason


def test_too_few_images_is_a_reason_not_a_number(model, images):
    for count in (30, 2):
        row = spectra(model, images[:count], sites="layer4.1.relu2").sites[0]
        assert row.alpha.reason and row.alpha_corrected.reason and row.reasons()
        json.dumps(row.to_json(), allow_nan=False)
    high = spectra(model, images, sites="layer4.1.relu2", fit_last=100_000).sites[0]
    assert "index 100000" in " ".join(high.reasons())


def test_memory_is_predicted_and_refused_before_the_pass(model, images):
    with pytest.raises(UserError, match=r"expected at most 0.001 GB; .* would be needed; lower --max-units"):
        spectra(model, images, max_memory_gb=0.001)
    paper = sites(build(Architecture(), 0))
    assert len(paper) == 17 and max(site.width for site in paper) == 802_816
    assert predicted_bytes(paper, 5000, 8000) / GIGABYTE < 8


def test_harvest_walks_once_in_eval_mode_and_refuses_non_finite(model, images):
    places = sites(model, ["relu", "layer4.1.relu2"])
    keepers = [Keep(place) for place in places]
    assert harvest(model, images[:20], keepers, batch_size=7) == 20
    np.testing.assert_allclose(keepers[1].rows, activations(model, images[:20])["layer4.1.relu2"], rtol=1e-5, atol=1e-6)
    assert (keepers[0].rows >= 0).all() and not model.training
    with pytest.raises(UserError, match=r"got NaN or infinity at relu in images 0\.\.6"):
        harvest(model, images[:20], [Keep(places[0])], batch_size=7, inject={"relu": lambda x: x * float("nan")})
    with pytest.raises(UserError, match="unknown site 'layer4.1.relu3': did you mean layer4.1.relu"):
        sites(model, ["layer4.1.relu3"])


def test_eigenfilters_are_the_leading_eigenvectors(model, images):
    found = eigenfilters(model, images, sites="layer3.0.relu1", filters=4)[0]
    rows = activations(model, images, ["layer3.0.relu1"])["layer3.0.relu1"].astype(np.float64)
    _, _, oracle = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    cosine = np.abs((found.vectors.reshape(4, -1) * oracle[:4]).sum(1))
    np.testing.assert_allclose(cosine, 1, atol=1e-4)
    assert found.pixels.shape == (4, 3, 32, 32) and (np.diff(found.share) <= 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.pixels.reshape(4, -1), axis=1), 1, rtol=1e-6)
    assert ((0 <= found.linear_r2) & (found.linear_r2 <= 1 + 1e-9)).all()


def test_controls_have_no_structure_but_the_power_spectrum():
    images = load_images("synthetic", n=6, size=32).images
    scrambled = phase_scrambled(images, 0)
    assert scrambled.shape == images.shape and not np.array_equal(scrambled, images)
    soft = (images // 4 + 96).astype(np.uint8)  # far from 0 and 255: nothing is clipped
    power = [np.abs(np.fft.fft2(x.astype(float)))[:, :, 1:8, 1:8] for x in (soft, phase_scrambled(soft, 0))]
    np.testing.assert_allclose(power[0], power[1], atol=25)
    noise = random_images(200, 3, 16)
    assert abs(np.corrcoef(noise[:, 0, 3, 3], noise[:, 0, 3, 4])[0, 1]) < 0.25


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained")
    recipe = Recipe(epochs=1, batch_size=20)
    train(
        build(ARCHITECTURE, 0),
        load_images("synthetic", n=60),
        load_images("synthetic", "test", n=20),
        recipe,
        Run(path),
    )
    return path


def test_spectra_command_writes_documented_keys(folder, tmp_path, capsys):
    arguments = ["spectra", "--model", str(folder), "--data", "synthetic", "--n-images", "120", "--threads", "1"]
    assert main([*arguments, "--sites", "relu,layer3.0.relu1", "--out", str(tmp_path / "run")]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [row["site"] for row in results["sites"]] == ["relu", "layer3.0.relu1"]
    assert {"site", "layer", "alpha", "alpha_corrected", "alpha_ci", "method"} <= set(results["sites"][0])
    assert "alpha_corrected" in capsys.readouterr().out and (tmp_path / "run" / "figures" / "spectra.pdf").exists()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Eigenspectra by depth" in page and "layer3.0.relu1" in page
    images = results["provenance"]["images"]
    assert images["shown_sha256"] in images["in_words"] and images["in_words"] in page
    assert len(results["provenance"]["model"]["sha256"]) == 16


def test_eigenfilters_command_writes_a_page_and_refuses_no_filters(folder, tmp_path, capsys):
    arguments = ["eigenfilters", "--model", str(folder), "--data", "synthetic", "--n-images", "40", "--threads", "1"]
    arguments += ["--sites", "relu,layer3.0.relu1"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert "Eigenvectors by depth" in (tmp_path / "run" / "report.html").read_text()
    assert (tmp_path / "run" / "tables" / "eigenfilters.csv").exists()
    capsys.readouterr()
    assert main([*arguments, "--n-filters", "0", "--out", str(tmp_path / "none")]) == 2
    assert "expected --filters a whole number of at least 1; got 0" in capsys.readouterr().err


def test_grey_images_for_a_colour_network_are_one_line_unless_asked_for(folder, tmp_path, capsys):
    grey = tmp_path / "grey"
    (grey / "a").mkdir(parents=True)
    for number in range(4):
        Image.new("L", (32, 32), 40 * number).save(grey / "a" / f"{number}.png")
    arguments = ["spectra", "--model", str(folder), "--data", "mnist", "--split", "test", "--n-images", "20"]
    if main([*arguments, "--out", str(tmp_path / "run")]) == 2:
        assert "expected" in capsys.readouterr().err
    assert main([*arguments[:4], str(tmp_path / "nothing" / "here"), "--out", str(tmp_path / "other")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_mnist_for_a_colour_network_names_the_way_out(folder, tmp_path, capsys, data_folder):
    arguments = ["spectra", "--model", str(folder), "--data", "mnist", "--split", "test", "--n-images", "60"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    assert (
        "mnist holds grey images (1 channel); choose other --data or pass --grey-as-colour" in capsys.readouterr().err
    )
    assert main([*arguments, "--sites", "layer4.1.relu2", "--grey-as-colour", "--out", str(tmp_path / "grey")]) == 0


def small(folder, *more, verb="spectra"):
    return [verb, "--model", str(folder), "--data", "synthetic", "--images", "40", "--threads", "1",
            "--sites", "layer3.0.relu1,layer4.1.relu2", *more]  # fmt: skip


@pytest.mark.parametrize(("verb", "name"), [("spectra", "spectrum"), ("eigenfilters", "filters")])
def test_a_killed_run_measures_only_the_sites_that_were_not_done(folder, tmp_path, monkeypatch, capsys, verb, name):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(small(folder, "--out", str(whole), verb=verb)) == 0
    done = Run.item

    def killed(self, item, compute, **options):
        if item.startswith(name) and "layer4" in item:
            raise KeyboardInterrupt
        return done(self, item, compute, **options)

    monkeypatch.setattr(Run, "item", killed)
    assert main(small(folder, "--out", str(broken), verb=verb)) == 130
    monkeypatch.setattr(Run, "item", done)
    seen = []
    place = "study.site_spectra" if verb == "spectra" else "eigenfilters.site_filters"
    module, _, function = f"vision_codes.lenses.spectra.{place}".rpartition(".")
    real = getattr(__import__(module, fromlist=[function]), function)

    def watched(model, images, options, **more):
        seen.extend(options.sites)
        return real(model, images, options, **more)

    monkeypatch.setattr(f"vision_codes.lenses.spectra.command.{function}", watched)
    assert main(small(folder, "--out", str(broken), verb=verb)) == 0
    assert seen == ["layer4.1.relu2"]
    sites_of = [json.loads((path / "results.json").read_text())["sites"] for path in (whole, broken)]
    assert sites_of[0] == sites_of[1]


def test_two_images_are_undefined_with_the_reason_printed(folder, tmp_path, capsys):
    few = [word if word != "40" else "2" for word in small(folder)]
    assert main([*few, "--out", str(tmp_path / "a")]) == 0
    assert "undefined at layer3.0.relu1, layer4.1.relu2: " in capsys.readouterr().out
    few[0] = "eigenfilters"
    assert main([*few, "--filters", "100000", "--out", str(tmp_path / "b")]) == 0
    said = capsys.readouterr()
    assert "2 images span 1 direction, which holds everything" in said.out
    assert "--filters 100,000: there are 1 directions at most over 2 images; all of them are used" in said.err
    row = json.loads((tmp_path / "b" / "results.json").read_text())["sites"][0]
    assert row["share"] is None and row["linear_r2"] is None and row["n_filters"] == 1


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--images", "-1"], "expected --images a whole number of at least 0; got -1"),
        (["--batch-size", "0"], "expected --batch-size a whole number of at least 1; got 0"),
        (["--fit-first", "60"], "expected --fit-last above --fit-first 60; got 50; widen the range"),
        (["--max-units", "-1"], "expected --max-units a whole number of at least 1; got -1"),
        (["--max-memory-gb", "inf"], "expected --max-memory-gb a number above 0; got inf"),
        (["--seed", "-1"], "expected --seed a whole number of at least 0"),
        (["--device", "cuda:7"], "expected --device cuda:7 to be there"),
        (["--image-control", "noise"], "unknown --image-control 'noise'"),
    ],
)
def test_impossible_values_are_refused_in_one_line(folder, tmp_path, capsys, flags, text):
    if "cuda:7" in flags and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert main([*small(folder), *flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert text in error[-1] and not (tmp_path / "run" / "results.json").exists()


def test_old_names_of_flags_work_with_a_notice(folder, tmp_path, capsys):
    old = [word if word != "--images" else "--n-images" for word in small(folder)]
    assert main([*old, "--first", "5", "--last", "20", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert all(f"--{a} is called --{b} now" in said for a, b in (("n-images", "images"), ("first", "fit-first")))


def test_rows_are_kept_whole_across_blocks(monkeypatch):
    monkeypatch.setattr("vision_codes.harvest.BLOCK_BYTES", 4 * 5 * 3)  # blocks of three rows of five units
    site, units = Site("relu", 1, (7, 1, 1)), np.array([0, 2, 3, 5, 6])
    rows = np.random.default_rng(0).standard_normal((11, 7)).astype(np.float32)
    keep = Keep(site, units)
    for part in np.array_split(rows, [2, 9]):
        keep.update(torch.from_numpy(part))
    np.testing.assert_array_equal(keep.rows, rows[:, units])
