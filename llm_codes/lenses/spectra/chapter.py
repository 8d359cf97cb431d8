"""The chapter on eigenspectra, in the words of the options it was measured under."""

from __future__ import annotations

from collections.abc import Mapping

from eval.claims import claims_rows
from eval.report.figures import SavedFigure
from eval.report.page import Page
from llm_codes.lenses.spectra.claims import claims, warnings
from llm_codes.lenses.spectra.rows import COLUMNS, Spectra


def add_chapter(
    page: Page, trained: Spectra, control: Spectra | None, figures: Mapping[str, SavedFigure], *, positions: str
) -> None:
    """The chapter of the report. positions: which positions of a window count, in words (`Inputs.positions`)."""
    first, last = trained.index_range
    section = page.section("Eigenspectra", "spectra")
    section.text(
        "The eigenvalues of the activation covariance fall roughly as a power law, index to the alpha. alpha = -1 "
        f"marks finite variance in the limit of many dimensions. The fit is a Huber regression over indices {first} to "
        f"{last}; few tokens push it up, clustered tokens push it down, so the corrected value is "
        "built by simulating documents like these (parametric indirect inference) and checked on both kinds of data. "
        "The interval also holds what random halves of the documents differ by, and alpha as measured where the tokens "
        "are enough for it. "
        f"{positions}"
    )
    section.figure(figures["alpha"])
    for line in warnings(trained.sites):
        section.warning(line)
    section.table(claims_rows(claims(trained, control)), caption="The source's statement, on this model.")
    section.figure(figures["spectra"]).figure(figures["dimension"])
    section.table(trained.rows(), COLUMNS, "The trained model.")
    again = [(row.site, row.with_position_0) for row in trained.sites if row.with_position_0 is not None]
    if again:
        rows = [{"site": site, **row.to_json()} for site, row in again]
        section.table(rows, caption="The same with the left-out positions put back.")
    if control is not None:
        section.table(control.rows(), COLUMNS, "Control: the same architecture, untrained.")
