"""The main job: one model, one corpus, every chapter on one offline page.

The page starts with the claims of all chapters in one table. A chapter is also a command of its own. Every chapter gets
the same open `Inputs`, its own options, the run folder and the page; it adds its sections and returns its part of
`results.json`. A chapter that fails is reported as failed, with its reason, and the others go on.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval.claims import claims_in
from eval.errors import IncompleteError, LostFolderError, OneLineError, known_name
from eval.progress import say
from eval.report.claims_section import add_claims
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.explain import ExplainOptions
from llm_codes.configs.polytopes import PolytopesOptions
from llm_codes.configs.report import CHAPTERS
from llm_codes.corpus import Corpus
from llm_codes.inputs import Inputs, open_inputs
from llm_codes.lenses.circuits import chapter as circuits_page
from llm_codes.lenses.explain import chapter as explain_page
from llm_codes.lenses.graphs import chapter as graphs_page
from llm_codes.lenses.polytopes import chapter as polytopes_page
from llm_codes.lenses.spectra import chapter as spectra_page
from llm_codes.lenses.spectra import command as spectra_command
from llm_codes.lenses.spectra import figures as spectra_figures
from llm_codes.lenses.trajectories import chapter as trajectories_page
from llm_codes.lenses.trajectories import command as trajectories_command

if TYPE_CHECKING:
    from llm_codes.configs.report import ReportConfig


@dataclass(frozen=True)
class Chapter:
    """What a chapter works on. corpus: the report's own view of the inputs."""

    config: ReportConfig
    run: Run
    inputs: Inputs
    corpus: Corpus
    page: Page


BUDGET = {"spectra": 40, "trajectories": 20, "polytopes": 60, "circuits": 60, "explain": 60}
"""Seconds of computing that a chapter may take on two cores with the embedded model and the default options."""

Written = tuple[dict[str, Any], Corpus]
"""A chapter's part of `results.json`, and the view of the inputs it read."""


def spectra_chapter(report: Chapter) -> Written:
    """Eigenspectra and alpha by depth, with the untrained control."""
    config, run = report.config, report.run
    trained, control = spectra_command.chapter(
        config.spectra, report.inputs, report.corpus, run, control=config.control
    )
    figures = spectra_figures.draw(run, trained, control)
    spectra_page.add_chapter(report.page, trained, control, figures, positions=report.inputs.positions())
    return spectra_command.results_of(trained, control).to_json(), report.corpus


def trajectories_chapter(report: Chapter) -> Written:
    """Random projections, action, the smoothest directions, with the untrained control, on the first windows."""
    config = report.config
    n_windows = min(config.trajectories_tokens, config.windows.tokens) // report.corpus.context + 1
    corpus = report.corpus.select(range(min(len(report.corpus), n_windows)))
    found, control, figures = trajectories_command.chapter(
        config.trajectories, config.drawn, report.inputs, corpus, report.run, control=config.control
    )
    excluded = report.inputs.options.exclude_positions
    results = trajectories_command.results_of(found, control)
    trajectories_page.add_chapter(report.page, found, results.claims, figures, excluded=excluded)
    judged = {name: part for name, part in results.to_json().items() if name != "sites"}
    return {"trajectories": found.rows(), "trajectories_judged": judged}, corpus


def explain_chapter(report: Chapter) -> Written:
    """Neurons, random projections and PCA directions, explained and scored by token lookup; a run folder of its own."""
    inputs = report.inputs
    tokens = report.config.windows.tokens
    options = ExplainOptions(tokens=tokens, per_layer=8, scorers=(), lengths=False, against=())
    twice = 2 * inputs.options.batch_size  # windows this short: twice as many are still fewer tokens in a batch
    found = explain_page.chapter(inputs, options, report.run, report.page, twice).to_json()
    corpus = inputs.windows(options.window + inputs.options.exclude_positions, n_tokens=options.tokens)
    return {"explain": {key: found[key] for key in ("by_layer", "paired", "leakage", "claims")}}, corpus


def polytopes_chapter(report: Chapter) -> Written:
    """Spline codes of two middle MLPs, their clusters as text, density, directions."""
    middle = report.inputs.model.n_layers // 2
    options = PolytopesOptions(layers=f"{middle}:{middle + 2}", rays=8, dictionary_steps=0)
    found = polytopes_page.chapter(report.inputs, report.corpus, options, report.run, report.page)
    return {"polytopes": found.to_json()}, report.corpus


def circuits_chapter(report: Chapter) -> Written:
    """A whole-model graph and the one-layer circuit of what ships with the embedded model, both tested; for other
    models: how to make them."""
    model, corpus, seed = report.inputs.model, report.corpus, report.inputs.seed
    whole = graphs_page.chapter(model, corpus, report.page, report.run, seed=seed)
    found = circuits_page.chapter(model, corpus, report.page, seed=seed)
    return {"circuits": {**found.to_json(), "whole_model": whole.to_json()}}, corpus


WRITERS: dict[str, Callable[[Chapter], Written]] = {
    "spectra": spectra_chapter,
    "trajectories": trajectories_chapter,
    "polytopes": polytopes_chapter,
    "circuits": circuits_chapter,
    "explain": explain_chapter,
}


def write_chapter(name: str, report: Chapter) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run one chapter; returns its results, and its entry under `chapters`: status, seconds, reason, what it read.

    Whatever a chapter raises is its reason (also on the page), and the others go on.
    """
    started = time.monotonic()
    say(f"chapter {name}")
    try:
        results, corpus = WRITERS[name](report)
    except LostFolderError:  # about the run and not about the chapter
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, OneLineError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, OneLineError):
            report.run.write_text(f"{name}-error.log", "".join(traceback.format_exception(error)))
        report.page.section(name.capitalize(), name).warning(f"This chapter could not be written: {reason}")
        return {}, {"status": "failed", "seconds": round(time.monotonic() - started, 1), "reason": reason}
    entry = {"status": "done", "seconds": round(time.monotonic() - started, 1), "reason": None}
    return results, entry | {"provenance": {**report.inputs.provenance(), "view": corpus.view()}}


def command(config: ReportConfig, run: Run) -> str:
    """`python -m llm_codes report`."""
    names = [known_name(name, CHAPTERS, "chapter") for name in config.chapters]
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    corpus = inputs.view(config.windows)
    title = "Eigenspectra, trajectories, polytopes, sparse circuits and explanations"
    page = Page(f"The code of {inputs.model.name}", title)
    page.section("What was read", "inputs").text(f"{inputs.describe()} Read: {corpus.describe_in_words()}.")
    report = Chapter(config, run, inputs, corpus, page)
    results: dict[str, Any] = {}
    chapters: dict[str, dict[str, Any]] = {}
    for name in names:
        found, chapters[name] = write_chapter(name, report)
        results |= found
    add_claims(page, list(claims_in(results)))
    run.finish({**results, "chapters": chapters}, model=inputs.model.provenance(), corpus=corpus.describe())
    page.write(run)
    failed = [f"{name}: {entry['reason']}" for name, entry in chapters.items() if entry["status"] == "failed"]
    if failed:
        counts = f"{len(failed)} of {len(chapters)} chapters failed"
        raise IncompleteError(f"{counts} ({'; '.join(failed)}); the rest is in {run.path('report.html')}")
    return f"{budget_table(chapters)}\n{run.path('report.html')}"


def budget_table(chapters: Mapping[str, Mapping[str, Any]]) -> str:
    """What each chapter took beside its share of the budget, and the sum."""
    rows = [
        {"chapter": name, "status": entry["status"], "seconds": entry["seconds"], "budget": BUDGET[name]}
        for name, entry in chapters.items()
    ]
    spent = round(sum(row["seconds"] for row in rows), 1)
    return text_table(
        [*rows, {"chapter": "all", "status": "", "seconds": spent, "budget": sum(r["budget"] for r in rows)}]
    )
