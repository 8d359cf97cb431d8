"""The pages of `sae train` and `sae eval`: one offline file each, tables as CSV, figures as PDF and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.measures.dictionaries.dictionary_quality import DensityBin
from eval.report.figures import SavedFigure, drawing, figure, save_figure
from eval.report.page import Page
from eval.report.tables import csv_text
from eval.runs import Run
from eval.scores import Score
from llm_codes.lenses.saes.dashboards_page import add_dashboards
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.rows import DictionaryEvaluation

MEANINGS = {
    "l0": "features active per token",
    "fvu": "fraction of variance unexplained, sums over tokens",
    "fvu_per_token": "the same per token, then averaged (small tokens count as much)",
    "cosine": "of reconstruction and activation",
    "dead_share": "features that never fired here",
    "ce_original": "cross-entropy of the model, nats per token",
    "ce_delta": "what putting in the reconstruction costs, nats per token",
    "ce_recovered_zero": "share of zero ablation's cost that it saves",
    "ce_recovered_mean": "share of mean ablation's cost that it saves",
    "kl": "of next-token distributions, nats per token",
}
CURVES = ("loss", "fvu", "l0", "dead_share")


@dataclass(frozen=True)
class ScoreRow:
    """One score as a row of a table: value, interval, n, what it means, and the reason where there is none."""

    score: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    meaning: str
    reason: str


def score_rows(scores: Mapping[str, Score]) -> list[ScoreRow]:
    """One row per score."""
    return [
        ScoreRow(n, s.value, s.low, s.high, s.n, MEANINGS.get(n, ""), s.reason or s.interval_reason or "")
        for n, s in scores.items()
    ]


def write_evaluation(run: Run, model_name: str, sae: SAEFolder, found: DictionaryEvaluation, inputs: str) -> None:
    """`report.html`, `tables/scores.csv`, `tables/density.csv` and the figure of `sae eval`.

    inputs: model, text and left-out positions, in words.
    """
    rows = [asdict(row) for row in score_rows(found.scores())]
    histogram = [asdict(row) for row in found.density]
    run.write_text("tables/scores.csv", csv_text(rows))
    run.write_text("tables/density.csv", csv_text(histogram))
    places = sae.hook if sae.hook == sae.hook_out else f"{sae.hook} to {sae.hook_out}"
    page = Page(f"Dictionary {sae.name} of {model_name}", f"{places}, {sae.n_features} features")
    section = page.section("Scores", "scores")
    section.text(inputs)
    section.table(rows, caption="95% intervals, documents resampled.")
    page.section("Density", "density").figure(_density_figure(run, found.density))
    if found.features:
        add_dashboards(page, found.features)
    else:
        page.section("Features", "features").warning("No dashboards: none was asked for, or none fired.")
    page.write(run)


@drawing
def _density_figure(run: Run, histogram: Sequence[DensityBin]) -> SavedFigure:
    """Features by density, decades halved; silent ones at the left."""
    fig, axis = figure(height=2.8)
    labels = ["silent" if not row.high else f"to {row.high:.1g}" for row in histogram]
    axis.bar(range(len(histogram)), [row.features for row in histogram])
    axis.set_xticks(range(len(histogram)), labels, rotation=45, ha="right")
    axis.set_xlabel("share of tokens on which a feature fires")
    axis.set_ylabel("features")
    axis.grid(visible=False, axis="x")
    return save_figure(run, fig, "density", "How often features fire: number of features by share of tokens.")


def write_training(run: Run, lines: Sequence[Mapping[str, Any]], last: Sequence[Mapping[str, Any]]) -> None:
    """`report.html`, `tables/metrics.csv` and the curves of `sae train`, from its log."""
    run.write_text("tables/metrics.csv", csv_text(lines))
    page = Page("Training of dictionaries", "; ".join(dict.fromkeys(str(line["sae"]) for line in lines)))
    section = page.section("Metrics", "metrics")
    section.table(last, caption="Last line of the log, on training batches; `sae eval` measures on held-out documents.")
    if lines:
        section.figure(_curves(run, lines))
    page.write(run)


@drawing
def _curves(run: Run, lines: Sequence[Mapping[str, Any]]) -> SavedFigure:
    names = list(dict.fromkeys(line["sae"] for line in lines))
    fig, axes = figure(1, len(CURVES), width=10.0, height=2.6)
    for axis, key in zip(axes, CURVES, strict=True):
        for name in names:
            points = [(line["step"], line[key]) for line in lines if line["sae"] == name and key in line]
            axis.plot(*zip(*points, strict=True), label=name) if points else None
        axis.set_title(key)
        axis.set_xlabel("step")
    axes[0].set_yscale("log")
    axes[0].legend(fontsize=6)
    return save_figure(run, fig, "training", "Loss, unexplained variance, active features and dead share by step.")
