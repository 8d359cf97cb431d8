"""Trajectories of a hooked model: the streamed action against projecting every window; the command; the report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from eval.measures.projections import projection
from llm_codes.__main__ import main
from llm_codes.corpus import load_corpus
from llm_codes.lenses.trajectories.study import trajectories
from llm_codes.models import load_model
from llm_codes.sites import resolve_sites


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model, text_folder):
    return load_corpus(str(text_folder), model.tokenizer, context=32, split="all", n_tokens=3000)


def test_the_stream_equals_projecting_every_window(model, corpus):
    (row,) = trajectories(model, corpus, sites="resid_post", layers=1, projections=50, seed=3).sites
    (site,) = resolve_sites(model, ("resid_post",), [1])
    draws = projection.random_projections(site.width, 50, seed=3)
    frames = model.activations(torch.from_numpy(corpus.tokens), [site])[site.hook].double().numpy()
    paths = [window[mask][1:] for window, mask in zip(frames, corpus.mask, strict=True)]
    sampled = np.mean([[projection.action(path @ r) for path in paths] for r in draws])
    assert row.action_sampled == pytest.approx(sampled, rel=1e-6)
    assert row.action == pytest.approx(np.mean([projection.expected_action(path) for path in paths]), rel=1e-6)
    assert abs(row.action - row.action_sampled) < 4 * row.action_sampled_standard_error
    first = sum(((w[m][1] - w[m][0]) ** 2).sum() for w, m in zip(frames, corpus.mask, strict=True))
    every = sum((np.diff(w[m], axis=0) ** 2).sum() for w, m in zip(frames, corpus.mask, strict=True))
    assert row.first_step_share == pytest.approx(first / every, rel=1e-6)
    assert row.minimum_action <= row.best_sampled
    held_out = row.minimum_action_held_out
    assert row.minimum_action < held_out.value and held_out.low < held_out.value < held_out.high
    assert held_out.n == corpus.n_documents == 30


def test_action_over_trace_by_definition(model, corpus):
    (row,) = trajectories(model, corpus, sites="resid_post", layers=[0], projections=5).sites
    (site,) = resolve_sites(model, ("resid_post",), [0])
    frames = model.activations(torch.from_numpy(corpus.tokens), [site])[site.hook].double().numpy()
    paths = [window[mask][1:] for window, mask in zip(frames, corpus.mask, strict=True)]
    steps = np.concatenate([np.diff(path, axis=0) for path in paths])
    trace = np.concatenate(paths).var(0).sum()
    score = row.action_over_trace
    assert score.value == pytest.approx((steps**2).sum(1).mean() / 2 / trace, rel=0.02)
    assert score.low < score.value < score.high
    assert row.to_json()["action_over_trace_ci"] == [score.low, score.high]


def test_commands_end_to_end(tiny_model_folder, text_folder, tmp_path, capsys):
    common = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "6000"]
    assert main(["trajectories", *common, "--out", str(tmp_path / "t"), "--projections", "20"]) == 0
    with np.load(tmp_path / "t" / "arrays" / "trajectory.npz", allow_pickle=False) as arrays:
        assert arrays["resid_post@1/random"].shape == (len(arrays["tokens"]) - 1, 3)
        assert len(arrays["strings"]) == len(arrays["tokens"])
    assert (tmp_path / "t" / "figures" / "trajectory.pdf").exists()
    chapters = ["--chapters", "spectra,trajectories", "--no-control"]
    assert main(["report", *common, *chapters, "--out", str(tmp_path / "r")]) == 0
    results = json.loads((tmp_path / "r" / "results.json").read_text())
    assert {name: chapter["status"] for name, chapter in results["chapters"].items()} == dict.fromkeys(
        ("spectra", "trajectories"), "done"
    )
    read = [chapter["provenance"] for chapter in results["chapters"].values()]
    assert read[0]["corpus"] == read[1]["corpus"] and read[0]["corpus"]["n_documents"] == 30
    assert read[0]["view"]["n_tokens"] > 0 and read[0]["model"]["weights_sha256"]
    assert results["sites"] and results["trajectories"]
    assert "Random projections" in (tmp_path / "r" / "report.html").read_text()


def test_a_failed_chapter_is_reported_and_the_rest_is_kept(tiny_model_folder, text_folder, tmp_path, capsys):
    common = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "3000"]
    sites = ["--sites", "resid_post", "--max-memory-gb", "0.000001", "--no-control"]
    assert main(["report", *common, *sites, "--chapters", "spectra,trajectories", "--out", str(tmp_path / "r")]) == 4
    assert "2 of 2 chapters failed (spectra: expected at most" in capsys.readouterr().err
    assert "could not be written" in (tmp_path / "r" / "report.html").read_text()


def test_pages_say_what_was_configured(tiny_model_folder, text_folder, tmp_path):
    common = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "3000"]
    fit = ["--fit-first", "5", "--fit-last", "30", "--exclude-positions", "3", "--no-control"]
    assert main(["report", *common, *fit, "--chapters", "spectra,trajectories", "--out", str(tmp_path / "r")]) == 0
    page = (tmp_path / "r" / "report.html").read_text()
    assert "over indices 5 to 30" in page and "10 to 50" not in page
    assert "Positions 0 to 2 of each window are left out of every statistic." in page
    assert "Positions 0 to 2 are left out. Were position 0 kept" in page and "Position 0 is left out" not in page


def test_no_step_is_undefined_and_one_projection_has_no_error(model, text_folder):
    short = load_corpus(str(text_folder), model.tokenizer, context=2, split="all", n_tokens=200)
    (row,) = trajectories(model, short, sites="resid_post", layers=0, projections=1).sites
    assert row.action is None and row.minimum_action is None and not row.action_over_trace.is_defined
    assert row.minimum_action_held_out.reason.startswith("no window has two neighbouring positions that count")
    assert row.to_json()["action_reason"].startswith("no window has two neighbouring positions that count")
    (row,) = trajectories(model, short, sites="resid_post", layers=0, projections=1, exclude_positions=0).sites
    assert row.action is not None and row.action_sampled_standard_error is None
    assert row.to_json()["action_sampled_reason"] == "one projection has no spread; draw more with --projections"


def test_a_result_is_a_frame_a_file_and_a_picture(model, corpus, tmp_path):
    from eval.results import load_result

    found = trajectories(model, corpus, layers=":", projections=5)
    assert list(found.to_frame()["site"]) == ["resid_post@0", "resid_post@1"]
    assert load_result(found.save(tmp_path / "found.json")) == found
    assert len(repr(found).splitlines()) <= 12
    assert len(found.plot().axes) == 2


def test_text_that_is_too_short(tiny_model_folder, text_folder, tmp_path, capsys):
    common = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "3000"]
    assert main(["trajectories", *common, "--text", "a", "--out", str(tmp_path / "t")]) == 2
    assert "a trajectory needs at least 3" in capsys.readouterr().err
