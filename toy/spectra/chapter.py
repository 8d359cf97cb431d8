"""The chapter on the spectra of known codes."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.figures import SavedFigure
from eval.report.page import Page
from toy.spectra.results import ToySpectraResult


def add_chapter(page: Page, found: ToySpectraResult, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figure and table."""
    section = page.section("Spectra, action and polytopes of toy codes", "spectra")
    for text in found.warnings:
        section.warning(text)
    section.text(
        "The measures of the language and vision wings on superposition models: eigenspectrum of the hidden code, "
        "action along a walk from feature to feature, spline codes of the output ReLU. Exponents need more indices "
        "than a hidden layer this narrow has; they are given for indices 2 to m and should be read as descriptions."
    )
    section.figure(figures["spectra"])
    rows = [{k: v for k, v in row.to_json().items() if k != "eigenvalues"} for row in found.models]
    section.table(rows, caption="One row per model.")
