"""The chapter on trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.report.figures import SavedFigure
from eval.report.page import Page
from llm_codes.lenses.trajectories.study import COLUMNS


def add_chapter(page: Page, rows: Sequence[Mapping[str, Any]], figures: Mapping[str, SavedFigure]) -> None:
    """The chapter of the report."""
    section = page.section("Random projections and trajectories", "trajectories")
    section.text(
        "A random three-dimensional projection of the code, followed along a text. Its action is the mean squared "
        "step; divided by the variance it is 1 for white noise and 0 for a constant. The closed form is "
        "3/(2m) sum ||A(t+1) - A(t)||^2: the second moment of differences, not the trace of the covariance."
    )
    section.figure(figures["action"]).figure(figures["trajectory"])
    worst = max(rows, key=lambda row: row["first_step_share"] or 0)
    section.text(
        f"Position 0 is left out. Were it kept, the single step from it to position 1 would hold up to "
        f"{worst['first_step_share']:.0%} of the whole action ({worst['site']})."
    )
    section.table(rows, COLUMNS, "Action of a window (mean), sampled check, action per variance, smoothest direction.")
