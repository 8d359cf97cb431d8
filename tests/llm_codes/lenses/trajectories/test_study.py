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
    (row,) = trajectories(model, corpus, ("resid_post",), layers=[1], n_projections=50, seed=3).rows
    (site,) = resolve_sites(model, ("resid_post",), [1])
    draws = projection.random_projections(site.width, 50, seed=3)
    frames = model.activations(torch.from_numpy(corpus.tokens), [site])[site.hook].double().numpy()
    paths = [window[mask][1:] for window, mask in zip(frames, corpus.mask, strict=True)]
    sampled = np.mean([[projection.action(path @ r) for path in paths] for r in draws])
    assert row["action_sampled"] == pytest.approx(sampled, rel=1e-6)
    assert row["action"] == pytest.approx(np.mean([projection.expected_action(path) for path in paths]), rel=1e-6)
    assert abs(row["action"] - row["action_sampled"]) < 4 * row["action_sampled_standard_error"]
    first = sum(((w[m][1] - w[m][0]) ** 2).sum() for w, m in zip(frames, corpus.mask, strict=True))
    every = sum((np.diff(w[m], axis=0) ** 2).sum() for w, m in zip(frames, corpus.mask, strict=True))
    assert row["first_step_share"] == pytest.approx(first / every, rel=1e-6)
    assert row["minimum_action"] <= row["best_sampled"]


def test_action_over_trace_by_definition(model, corpus):
    (row,) = trajectories(model, corpus, ("resid_post",), layers=[0], n_projections=5).rows
    (site,) = resolve_sites(model, ("resid_post",), [0])
    frames = model.activations(torch.from_numpy(corpus.tokens), [site])[site.hook].double().numpy()
    paths = [window[mask][1:] for window, mask in zip(frames, corpus.mask, strict=True)]
    steps = np.concatenate([np.diff(path, axis=0) for path in paths])
    trace = np.concatenate(paths).var(0).sum()
    assert row["action_over_trace"] == pytest.approx((steps**2).sum(1).mean() / 2 / trace, rel=0.02)
    assert row["action_over_trace_ci"][0] < row["action_over_trace"] < row["action_over_trace_ci"][1]


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
    assert [chapter["status"] for chapter in results["chapters"]] == ["done", "done"]
    assert results["sites"] and results["trajectories"]
    assert "Random projections" in (tmp_path / "r" / "report.html").read_text()


def test_a_failed_chapter_is_reported_and_the_rest_is_kept(tiny_model_folder, text_folder, tmp_path, capsys):
    common = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "3000"]
    sites = ["--sites", "resid_post", "--max-memory-gb", "0.000001", "--no-control"]
    assert main(["report", *common, *sites, "--chapters", "spectra,trajectories", "--out", str(tmp_path / "r")]) == 4
    assert "2 of 2 chapters failed (spectra: expected at most" in capsys.readouterr().err
    assert "could not be written" in (tmp_path / "r" / "report.html").read_text()


def test_text_that_is_too_short(tiny_model_folder, text_folder, tmp_path, capsys):
    common = ["--model", str(tiny_model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "3000"]
    assert main(["trajectories", *common, "--text", "a", "--out", str(tmp_path / "t")]) == 2
    assert "a trajectory needs at least 3" in capsys.readouterr().err
