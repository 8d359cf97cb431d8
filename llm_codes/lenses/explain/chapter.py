"""What `python -m llm_codes explain` writes: scores.jsonl, results.json, the figure, the page, the short table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eval.explanation import page
from eval.explanation.evaluate import UnitResult
from eval.explanation.neuron_record import write_neuron_records
from eval.report.tables import csv_text, text_table
from eval.runs import json_ready
from llm_codes.lenses.explain.rows import scores_row

if TYPE_CHECKING:
    from eval.report.figures import SavedFigure
    from eval.report.page import Page
    from eval.runs import Run
    from llm_codes.lenses.explain.study import Recorded


def add_chapter(report: Page, results: Mapping[str, Any], figures: Mapping[str, SavedFigure]) -> None:
    """The explanation chapter of `llm_codes report`."""
    page.add_chapter(report, results, figures)


def jsonl_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Strict JSON, one object a line."""
    return "".join(json.dumps(json_ready(row), allow_nan=False, ensure_ascii=False) + "\n" for row in rows)


def write_outputs(
    run: Run,
    tables: dict[str, Any],
    results: Sequence[UnitResult],
    recorded: Recorded,
    *,
    records: bool,
    provenance: Mapping[str, Any],
) -> str:
    """Write every file of the run; returns the table for stdout."""

    run.write_text("scores.jsonl", jsonl_text([scores_row(result) for result in results]))
    run.write_text("tables/by_layer.csv", csv_text(tables["by_layer"]))
    run.write_text("tables/by_score.csv", csv_text(tables["by_score"]))
    run.write_text("tables/paired.csv", csv_text(tables["paired"]))
    if records:
        write_neuron_records(run, recorded.books["trained"], results)
    saved = page.depth_figure(run, tables["by_layer"])
    whole = run.finish(tables, **provenance)
    page.write_page(run, whole, results, {"score_by_depth": saved})
    return short_table(whole, run)


def short_table(results: Mapping[str, Any], run: Run) -> str:
    """Means by layer and the neuron comparison, as text."""
    rows = [
        {key: row.get(key) for key in ("kind", "layer", "n", "undefined", "mean", "ci")} for row in results["by_layer"]
    ]
    pairs = [
        {key: row.get(key) for key in ("layer", "a", "b", "difference", "ci", "p", "n")}
        for row in results["paired"]
        if "(" not in row["b"]
    ]
    leak = results["leakage"]
    audit = f"leakage: {leak['shared_documents']} shared documents, {leak['near_duplicates']} near-duplicates"
    return "\n\n".join([text_table(rows), text_table(pairs), f"{audit}\n{run.path('report.html')}"])
