"""What each method foretells of interventions, and what its edges predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from eval.scores import Score
from llm_codes.lenses.weights.interventions import HELD
from llm_codes.lenses.weights.methods import METHODS
from llm_codes.lenses.weights.rows import WeightAgreement, WeightFit

FLOOR = -1.0  # shares foretold are drawn from here; what lies lower is written in the table


@drawing
def draw_weights(run: Run, agreements: Sequence[WeightAgreement], fits: Sequence[WeightFit]) -> SavedFigure:
    """Left: share of squared change foretold, direct and total; right: FVU of the same edges, held out."""
    fig, axes = figure(1, 2, width=10.0, height=4.6)
    y = np.arange(len(METHODS))[::-1]
    for number, measured in enumerate(HELD):
        rows = {row.method: row.r2 for row in agreements if row.measured == measured}
        _points(axes[0], [rows.get(name) for name in METHODS], y + 0.15 - 0.3 * number, COLOURS[number], measured)
    axes[0].axvline(0, color="0.6", linewidth=0.8)
    axes[0].set_xlim(FLOOR, 1.02)
    axes[0].set_yticks(y, METHODS, fontsize=8)
    axes[0].set(xlabel="share of squared change foretold (0: as if nothing changed)")
    axes[0].legend(fontsize=8, loc="lower left")
    for number, what in enumerate(("refitted", "activation")):
        rows = {row.method: getattr(row, what) for row in fits}
        label = "pre-activation" if what == "refitted" else "activation"
        _points(axes[1], [rows.get(name) for name in METHODS], y + 0.15 - 0.3 * number, COLOURS[number + 2], label)
    axes[1].axvline(1, color="0.6", linewidth=0.8)
    axes[1].set_yticks(y, [""] * len(METHODS))
    axes[1].set(xlabel="FVU on held-out documents, edges refitted (1: nothing)")
    axes[1].legend(fontsize=8, loc="lower left")
    caption = "Weights between features of different layers, as many for each method; 95% intervals over documents."
    return save_figure(run, fig, "weights", caption)


def _points(axis: Any, scores: Sequence[Score | None], y: np.ndarray, colour: str, label: str) -> None:
    """Values with their intervals; what is undefined has no point."""
    kept = [(score, place) for score, place in zip(scores, y, strict=True) if score is not None and score.is_defined]
    ends = np.array([[score.low, score.value, score.high] for score, _ in kept], dtype=float).reshape(-1, 3)
    ends = np.maximum(np.where(np.isnan(ends), ends[:, 1:2], ends), FLOOR)
    widths = [ends[:, 1] - ends[:, 0], ends[:, 2] - ends[:, 1]]
    places = [place for _, place in kept]
    axis.errorbar(ends[:, 1], places, xerr=widths, fmt="o", markersize=4, color=colour, label=label, capsize=2)
