"""Runs and results side by side: pairs and series, paired over documents where the text is one, refusals by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.__main__ import main
from llm_codes.corpus import load_corpus
from llm_codes.lenses.spectra.compare import compare, difference, read_run
from llm_codes.lenses.spectra.study import spectra
from llm_codes.models import load_model, untrained_like


def arguments(model_folder: Path, text_folder: Path, out: Path, *more: str, verb: str = "spectra") -> list[str]:
    return [
        verb,
        *("--model", str(model_folder), "--corpus", str(text_folder), "--context", "32", "--tokens", "6000"),
        *("--layers", "0:2", "--out", str(out), "--threads", "1", *more),
    ]


def test_compare_two_runs(tiny_model_folder, text_folder, tmp_path, capsys):
    for name, more in (("a", ()), ("b", ("--seed", "1"))):
        assert main(arguments(tiny_model_folder, text_folder, tmp_path / name, "--no-control", *more)) == 0
    verb = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c")]
    assert main(verb) == 0
    rows = json.loads((tmp_path / "c" / "results.json").read_text())["comparison"]
    assert [row["layer_a"] for row in rows] == [row["layer_b"] for row in rows]
    one = read_run(tmp_path / "a")
    assert all(row.difference.value in (0, None) for row in compare(one, one).comparison)

    def changed(part, **values):
        return replace(one, provenance={**one.provenance, part: {**one.provenance[part], **values}})

    for text, other in {
        "one corpus, got sha256 '.*' and 'other' [(].* and elsewhere[)]": changed(
            "corpus", source="elsewhere", sha256="other"
        ),
        "one fit range, got 10-50 and 2-50": changed("config", fit_first=2),
        "one window length, got 32 and 64": changed("config", context=64),
        "one excluded positions, got 1 and 0": changed("config", exclude_positions=0),
        "one number of tokens, got 6000 and 900": changed("config", tokens=900),
    }.items():
        with pytest.raises(UserError, match=f"expected two runs (on|of) {text}"):
            compare(one, other)
    moved = compare(one, changed("corpus", source="a copy elsewhere"))  # a text is its content, not its place
    assert moved.comparison == compare(one, one).comparison
    with pytest.raises(UserError, match="expected a finished run with results.json"):
        read_run(tmp_path)


def test_difference_of_two_intervals():
    from eval.scores import Score

    score, p = difference(Score(-1.0, -1.1, -0.9), Score(-0.8, -0.9, -0.7))
    assert score.value == pytest.approx(0.2)
    assert score.high - score.low == pytest.approx(2 * np.hypot(0.1, 0.1))
    assert p is not None and 0.004 < p < 0.007  # z = .2 / (.1414 / 1.96) = 2.77
    assert difference(Score.undefined("few"), Score(1.0))[0].reason == "few"


@pytest.fixture(scope="module")
def results(tiny_model_folder, text_folder):
    """The spectra of a model, of one a little changed and of an untrained one, on one text."""
    model = load_model(str(tiny_model_folder))
    corpus = load_corpus(str(text_folder), model, context=32)
    near = load_model(str(tiny_model_folder))
    with torch.no_grad():
        for number, parameter in enumerate(near.bridge.parameters()):
            generator = torch.Generator().manual_seed(number)
            parameter += 0.02 * parameter.std() * torch.randn(parameter.shape, generator=generator)
    models = (model, near, untrained_like(model, 5))
    return [spectra(one, corpus, sites="resid_post", fit_first=5, fit_last=25) for one in models]


def test_results_of_one_text_are_paired_and_the_shared_accidents_drop_out(results):
    one, near, fresh = results
    compared = compare(one, near, fresh)
    assert [run.letter for run in compared.runs] == ["A", "B", "C"] and compared.runs[2].label.endswith("untrained")
    assert [row.run for row in compared.comparison] == ["B", "B", "C", "C"]
    assert all(row.paired for row in compared.comparison)
    for row, site in zip(compared.comparison[:2], near.sites, strict=True):
        apart, _ = difference(one.sites[row.layer_a].alpha_corrected, site.alpha_corrected)
        assert row.difference.high - row.difference.low < 0.5 * (apart.high - apart.low)
        assert row.difference.value == pytest.approx(apart.value) and row.difference.n == 30
    same = compare(one, one).comparison
    assert all(row.difference.interval == [0, 0] and row.p == 1 for row in same)
    assert len(compare(one, near).plot().axes) == 1 and "run" in compared.plot().axes[0].get_xlabel()


def test_without_the_same_tokens_the_errors_are_independent(results):
    one, near, _ = results
    other = replace(
        near, provenance={**near.provenance, "corpus": {**near.provenance["corpus"], "sha256_of_tokens": "x"}}
    )
    for row, site in zip(compare(one, other).comparison, near.sites, strict=True):
        apart, p = difference(one.sites[row.layer_a].alpha_corrected, site.alpha_corrected)
        assert not row.paired and row.difference == apart and row.p == p


def test_results_that_cannot_be_compared(results, tmp_path):
    from eval.results import load_result

    one, near, _ = results
    assert compare(load_result(one.save(tmp_path / "one.json")), near).comparison == compare(one, near).comparison

    def changed(part, **values):
        return replace(one, provenance={**one.provenance, part: {**one.provenance[part], **values}})

    for other, text in (
        (changed("config", fit_first=2), "expected two runs of one fit range, got 5-25 and 2-25; run `spectra` alike"),
        (changed("corpus", n_tokens=10), r"expected two runs of one number of tokens, got \d+ and 10"),
        (changed("corpus", roles=["assistant"]), r"one choice of roles, got None and \['assistant'\]"),
        (changed("corpus", sha256="x"), "expected two runs on one corpus, got sha256"),
        (replace(one, provenance=None), "expected a result of spectra.. with its provenance; got one without"),
        (3, "expected a run folder or a result of spectra..; got int; pass one, e.g. runs/spectra"),
    ):
        with pytest.raises(UserError, match=text):
            compare(near, other)


def test_a_series_of_runs_is_drawn_by_run(tiny_model_folder, text_folder, tmp_path):
    made = arguments(tiny_model_folder, text_folder, tmp_path / "a", "--no-control", "--sites", "resid_post")
    assert main(made) == 0
    folder = str(tmp_path / "a")
    assert main(["compare", folder, folder, folder, "--out", str(tmp_path / "c")]) == 0
    assert (tmp_path / "c" / "figures" / "alpha-series.pdf").is_file()
    results = json.loads((tmp_path / "c" / "results.json").read_text())
    assert [row["run"] for row in results["comparison"]] == ["B", "B", "C", "C"]
    assert all(row["paired"] for row in results["comparison"]) and set(results["provenance"]["runs"]) == {"a", "b", "c"}
