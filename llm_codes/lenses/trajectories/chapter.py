"""The chapter on trajectories, in the words of the inputs it was measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.claims import Claim, claims_rows
from eval.report.figures import SavedFigure
from eval.report.page import Page
from llm_codes.lenses.trajectories.rows import COLUMNS, Trajectories


def add_chapter(
    page: Page, found: Trajectories, claims: Sequence[Claim], figures: Mapping[str, SavedFigure], *, excluded: int
) -> None:
    """The chapter of the report. claims: judged on it. excluded: leading positions of each window, left out."""
    section = page.section("Random projections and trajectories", "trajectories")
    section.text(
        "A random three-dimensional projection of the code, followed along a text. Its action is the mean squared "
        "step; divided by the variance it is 1 for white noise and 0 for a constant. The closed form is "
        "3/(2m) sum ||A(t+1) - A(t)||^2: the second moment of differences, not the trace of the covariance."
    )
    section.table(claims_rows(claims), caption="The statement, on this model.")
    section.figure(figures["action"]).figure(figures["trajectory"])
    for row in found.sites:
        if row.action is None:
            section.warning(f"The action is undefined at {row.site}: {row.action_reason}.")
    section.text(first_step_words(found, excluded))
    section.table(found.rows(), COLUMNS, "Action of a window (mean), sampled check, per variance, smoothest direction.")


def first_step_words(found: Trajectories, excluded: int) -> str:
    """What the step from position 0 to 1 holds, or would hold."""
    worst = max(found.sites, key=lambda row: row.first_step_share or 0)
    share = f"up to {worst.first_step_share or 0:.0%} of the whole action ({worst.site})"
    if excluded == 0:
        return f"Every position counts: the single step from position 0 to 1 holds {share}."
    left_out = "Position 0 is left out" if excluded == 1 else f"Positions 0 to {excluded - 1} are left out"
    return f"{left_out}. Were position 0 kept, the single step from it to position 1 would hold {share}."
