"""`explain` in a script: the command's options by name; a continued run computes what is missing and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.explanation import page as pages
from eval.report.page import Page
from eval.runs import Run
from llm_codes.configs.explain import ExplainConfig, ExplainOptions
from llm_codes.configs.inputs import InputsOptions
from llm_codes.inputs import open_inputs
from llm_codes.lenses.explain import chapter, recording
from llm_codes.lenses.explain.backends import open_parts
from llm_codes.lenses.explain.recording import READING
from llm_codes.lenses.explain.study import explain, explain_units

OPTIONS = ExplainOptions(window=32, per_layer=2, units=("neuron", "random"), resamples=20, tokens=9000)


@pytest.fixture(scope="module")
def inputs(tiny_model_folder: Path, text_folder: Path):
    return open_inputs(InputsOptions(model=str(tiny_model_folder), corpus=str(text_folder)))


def test_a_script_says_the_options_of_the_command_by_name(inputs) -> None:
    corpus = inputs.windows(33, n_tokens=9000)
    found = explain(inputs.model, corpus, options=OPTIONS, per_layer=1, batch_size=4, controls=())
    assert [(row.kind, row.layer) for row in found.by_layer] == [(k, n) for k in ("neuron", "random") for n in (0, 1)]
    assert list(found.to_frame().columns[:2]) == ["kind", "layer"] and len(repr(found).splitlines()) < 12
    with pytest.raises(UserError, match="unknown option 'per_layr' .*did you mean per_layer"):
        explain(inputs.model, corpus, per_layr=1)


def test_a_script_and_the_command_have_the_same_defaults() -> None:
    config = ExplainConfig(out="x")
    assert config.explain == ExplainOptions() and config.inputs.batch_size == READING.batch_size
    assert config.inputs.exclude_positions == READING.exclude_positions


def test_a_finished_run_walks_no_text_and_a_lost_item_is_computed_again(inputs, tmp_path, monkeypatch) -> None:
    corpus = inputs.windows(33, n_tokens=9000)
    walked = []
    harvest = recording.harvest
    monkeypatch.setattr(recording, "harvest", lambda *a, **k: walked.append(k["label"]) or harvest(*a, **k))

    def go():
        with open_parts(OPTIONS, inputs.model) as parts:
            run = Run(tmp_path)
            return explain_units(inputs.model, corpus, OPTIONS, parts, reading=READING, run=run)

    first = go()
    assert len(walked) == 4
    again = go()
    assert len(walked) == 4
    assert again.units == first.units and again.found.by_score == first.found.by_score
    assert again.found.paired == first.found.paired
    next(iter(tmp_path.glob("items/*untrained*layer-1.json"))).unlink()
    third = go()
    assert len(walked) == 8 and third.units == first.units


def test_the_chapter_of_a_report_reads_the_reports_inputs(inputs, tmp_path) -> None:
    page, run = Page("report"), Run(tmp_path)
    found = chapter.chapter(inputs.of_split("held-out"), OPTIONS, run, page)
    assert "(documents: held-out)" in found.setting and "(documents: held-out)" in page.html()
    assert (tmp_path / "explain" / "results.json").exists() and (tmp_path / "explain" / "report.html").exists()


def test_a_run_that_stops_on_what_it_shows_says_so_and_steers_the_model(inputs, tmp_path) -> None:
    changed = {"until_decided": 0.1, "max_units": 2, "scorers": ("intervention",), "questions": 2, "lengths": False}
    options = dataclasses.replace(OPTIONS, layers="1", against=(), controls=("shuffled",), **changed)
    corpus = inputs.windows(33, n_tokens=9000)
    with open_parts(options, inputs.model) as parts:
        done = explain_units(inputs.model, corpus, options, parts, reading=READING, run=Run(tmp_path))
    (decision,) = done.found.decisions
    assert (decision.a, decision.b, decision.layer, decision.verdict) == ("neuron", "random", 1, "undecided")
    assert "decided at a margin of 0.1, or 2 of each kind" in done.found.setting
    asked = {unit.unit.kind: unit.tasks["intervention"].auroc for unit in done.units if unit.explanation.is_defined}
    assert asked.keys() == {"neuron", "random"} and all(score.value is not None for score in asked.values())
    assert [row.task for row in done.found.paired_by_task][0] == "intervention"
    page = Page("report")
    pages.add_chapter(page, done.found, {})
    assert "watched until they were decided" in page.html()
