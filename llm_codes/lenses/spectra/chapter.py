"""Figures, claims and chapter of the eigenspectra."""

from __future__ import annotations

from collections.abc import Mapping

from eval.claims import claims_rows
from eval.report.figures import SavedFigure
from eval.report.page import Page
from llm_codes.lenses.spectra.claims import claims, warnings
from llm_codes.lenses.spectra.study import COLUMNS, Spectra


def add_chapter(page: Page, trained: Spectra, control: Spectra | None, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter of the report."""
    section = page.section("Eigenspectra", "spectra")
    section.text(
        "The eigenvalues of the activation covariance fall roughly as a power law, index to the alpha. alpha = -1 "
        "marks finite variance in the limit of many dimensions. The fit is a Huber regression over indices 10 to 50; "
        "few tokens push it up, clustered tokens push it down, so the corrected value and its interval are built by "
        "simulating documents like these (parametric indirect inference) and checked on both kinds of data."
    )
    section.figure(figures["alpha"])
    for line in warnings(trained.rows):
        section.warning(line)
    section.table(claims_rows(claims(trained)), caption="The source's statement, on this model.")
    section.figure(figures["spectra"]).figure(figures["dimension"])
    section.table(trained.rows, COLUMNS, "The trained model.")
    if any("with_position_0" in row for row in trained.rows):
        rows = [{"site": row["site"], **row["with_position_0"]} for row in trained.rows]
        section.table(rows, caption="The same with the left-out positions put back.")
    if control is not None:
        section.table(control.rows, COLUMNS, "Control: the same architecture, untrained.")
