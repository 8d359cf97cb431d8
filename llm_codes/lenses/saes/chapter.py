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
from llm_codes.lenses.saes.rows import ANOTHER, DictionaryEvaluation

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
    "share": "features with a partner at cosine .7 or more",
    "mean": "mean of the best cosines",
    "share_random": "the share, against as many random directions",
    "mean_random": "the mean, against as many random directions",
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
    rows = score_table(found)
    histogram = [asdict(row) for row in found.density]
    run.write_text("tables/scores.csv", csv_text(rows))
    run.write_text("tables/density.csv", csv_text(histogram))
    page = Page(f"Dictionary {sae.name} of {model_name}", f"{sae.place}, {sae.n_features} features")
    section = page.section("Scores", "scores")
    section.text(inputs)
    section.table(rows, caption="95% intervals, documents resampled.")
    if found.baselines:
        run.write_text("tables/baselines.csv", csv_text(sanity_rows(found, sae.metadata.get("training_tokens"))))
    add_sanity(page, found, sae.metadata.get("training_tokens"))
    page.section("Density", "density").figure(_density_figure(run, found.density))
    if found.features:
        add_dashboards(page, found.features)
    else:
        page.section("Features", "features").warning("No dashboards: none was asked for, or none fired.")
    page.write(run)


def score_table(found: DictionaryEvaluation) -> list[dict[str, Any]]:
    """Every score of an evaluation, with what it means."""
    return [asdict(row) for row in score_rows(found.scores())]


def sanity_rows(found: DictionaryEvaluation, training_tokens: int | None = None) -> list[Mapping[str, object]]:
    """A row for the dictionary and for each baseline; empty where none was measured.

    training_tokens: of the dictionary itself, where its folder says.
    """
    if not found.baselines:
        return []
    names = ("l0", "fvu", "ce_delta", "ce_recovered_mean", "kl")
    tokens = {} if training_tokens is None else {"training_tokens": training_tokens}
    own = {"baseline": "none (this dictionary)", **{name: getattr(found, name).value for name in names}}
    rows: list[Mapping[str, object]] = [own | {"explained_reached": 1.0, "recovered_reached": 1.0, **tokens}]
    for row in found.baselines:
        shares = {name: getattr(row, name).value for name in ("explained_reached", "recovered_reached")}
        tokens = {} if row.training_tokens is None else {"training_tokens": row.training_tokens}
        rows.append(
            {"baseline": row.baseline, **{name: getattr(row, name).value for name in names}, **shares, **tokens}
        )
    return rows


def reached_in_words(found: DictionaryEvaluation) -> str:
    """What the best of the random baselines reaches, in one sentence; a retraining of the dictionary is none."""
    random = [row for row in found.baselines if row.baseline != ANOTHER]
    shares = [(row.explained_reached.value, row) for row in random if row.explained_reached.value is not None]
    if not random:
        return "No random baseline was measured."
    if not shares:
        return "This dictionary explains nothing: no share is defined."
    reached, best = max(shares, key=lambda pair: pair[0])
    loss = best.recovered_reached.value
    also = "" if loss is None else f" and {loss:.0%} of the cross-entropy that it recovers"
    return f"{best.baseline} reaches {reached:.0%} of the variance that this dictionary explains{also}."


def add_sanity(page: Page, found: DictionaryEvaluation, training_tokens: int | None = None) -> None:
    """What of its quality random baselines reach, and which features another seed finds; said where not measured."""
    section = page.section("Beside random baselines", "sanity")
    rows = sanity_rows(found, training_tokens)
    if rows:
        section.text(reached_in_words(found))
        section.table(rows, caption="Shares reached: of explained variance, and of cross-entropy recovered.")
    else:
        section.warning("Not measured: no --baselines. A dictionary with a random part often reaches much of this.")
    if found.stability is not None:
        scores = {name: getattr(found.stability, name) for name in ("share", "mean", "share_random", "mean_random")}
        caption = f"Features found again in {found.stability.partner} (cosine at least .7), beside random directions."
        section.table([asdict(row) for row in score_rows(scores)], caption=caption)
    else:
        section.warning("Stability over seeds was not measured: no --partner.")


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
    caption = "The last batch; what was saved, on training text; the same on held-out documents, where it was measured."
    section.table(last, caption=caption)
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
