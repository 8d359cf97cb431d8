"""The explain chapter: every file of an explanation run, its page, and its part of a report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eval.explanation import page as pages
from eval.explanation.interchange.files import write_interchange
from eval.explanation.registry import source_file
from eval.explanation.rescoring.predictions import FILE as PREDICTIONS
from eval.explanation.rescoring.predictions import write_predictions
from eval.explanation.results import Explained, UnitResult
from eval.report.tables import csv_text, text_table
from eval.runs import Run, json_ready
from llm_codes.lenses.explain.backends import open_parts
from llm_codes.lenses.explain.study import Study, explain_units
from llm_codes.lenses.explain.unit_sources.dictionary_units import source_contents

if TYPE_CHECKING:
    from eval.report.page import Page
    from llm_codes.configs.explain import ExplainOptions
    from llm_codes.inputs import Inputs
    from llm_codes.lenses.explain.backends import Parts

SHORT = ("kind", "layer", "n", "undefined", "coverage", "bits", "mean", "ci", "upper_bound")
SHORT_PAIRS = ("layer", "a", "b", "difference", "ci", "p", "n")


def study(
    inputs: Inputs,
    options: ExplainOptions,
    run: Run,
    parts: Parts,
    batch_size: int = 0,
    *,
    keep_predictions: bool = False,
) -> Study:
    """The run's own view of the inputs (windows of `window` tokens after the left-out positions), explained.

    batch_size: windows per forward pass (0: the inputs').
    """
    run.inputs(**inputs.hashes(), **source_contents(options.units), **file_contents(options))
    reading = replace(inputs.options, batch_size=batch_size or inputs.options.batch_size)
    length = options.window + reading.exclude_positions
    corpus = inputs.windows(length, n_tokens=options.tokens)
    text = f"{reading.corpus} (documents: {reading.split})"
    return explain_units(
        inputs.model,
        corpus,
        options,
        parts,
        reading=reading,
        seed=inputs.seed,
        run=run,
        text=text,
        keep_predictions=keep_predictions,
    )


def file_contents(options: ExplainOptions) -> dict[str, str]:
    """Content of the files that bring an explainer or a simulator: with other code the items of a run are stale."""
    files = {text: source_file(text) for text in (options.explainer, options.simulator)}
    return {text: hashlib.sha256(path.read_bytes()).hexdigest() for text, path in files.items() if path}


def chapter(inputs: Inputs, options: ExplainOptions, run: Run, page: Page, batch_size: int = 0) -> Explained:
    """The explain chapter of a report, on the report's own inputs.

    run: the report's; the items, files and page of the explanations lie in its folder `explain`.
    batch_size: windows per forward pass (0: the inputs').
    """
    own = Run(run.path("explain"), run.config, run.command, run.modules)
    own.inputs(**inputs.hashes())
    with open_parts(options, inputs.model, own) as parts:
        done = study(inputs, options, own, parts, batch_size)
    write_outputs(own, done, records=False, provenance=inputs.provenance())
    pages.add_chapter(page, done.found, pages.depth_figures(run, done.found))
    return done.found


def jsonl_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Strict JSON, one object a line."""
    return "".join(json.dumps(json_ready(row), allow_nan=False, ensure_ascii=False) + "\n" for row in rows)


def write_tables(run: Run, found: Explained, units: Sequence[UnitResult]) -> None:
    """`scores.jsonl` and the CSV tables."""
    run.write_text("scores.jsonl", jsonl_text([unit.row().to_json() for unit in units]))
    for name, rows in (("by_layer", found.by_layer), ("by_score", found.by_score), ("paired", found.paired)):
        run.write_text(f"tables/{name}.csv", csv_text([row.to_json() for row in rows]))


def write_outputs(run: Run, done: Study, *, records: bool, provenance: Mapping[str, Any]) -> str:
    """Write every file of the run; returns the table for stdout."""
    write_tables(run, done.found, done.units)
    if done.predictions:
        write_predictions(run.path(PREDICTIONS), done.predictions)
    if records:
        trained = [unit for unit in done.units if unit.condition == "trained"]
        words = {unit.unit.name: unit.explanation.text or None for unit in trained}
        book = done.recorded().books["trained"]
        model, explainer = str(provenance["model"]["name"]), getattr(run.config.explain, "explainer", "")
        write_interchange(run, book, words, model, explainer)
    saved = pages.depth_figures(run, done.found)
    whole = run.finish(done.found.to_json(), **provenance)
    pages.write_page(run, done.found, done.units, saved, whole["provenance"])
    return short_table(done.found, run)


def short_table(found: Explained, run: Run) -> str:
    """Means by layer and the comparison of kinds, as text."""
    controls = {row.b for row in found.paired if row.b.endswith(("(shuffled)", "(untrained)"))}
    pairs = [row.to_json() for row in found.paired if row.b not in controls]
    leak = found.leakage
    audit = f"leakage: {leak['shared_documents']} shared documents, {leak['near_duplicates']} near-duplicates, "
    audit += f"{leak['near_duplicate_documents']} near-duplicate documents"
    table = text_table(found.rows(), SHORT)
    decided = [text_table([one.to_json() for one in found.decisions])] if found.decisions else []
    return "\n\n".join([table, *decided, text_table(pairs, SHORT_PAIRS), f"{audit}\n{run.path('report.html')}"])
