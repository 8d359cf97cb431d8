"""The chapter on coding theory."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.figures import SavedFigure
from eval.report.page import Page
from toy.capacity.results import CapacityResult


def add_chapter(page: Page, found: CapacityResult, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figures and tables."""
    section = page.section("Capacity", "capacity")
    for text in found.warnings:
        section.warning(text)
    section.text(
        "Exact capacities in bits, beside the forms that are printed. Theorem 3 of the paper gives bounds; the closed "
        "form here agrees with Blahut-Arimoto. C(1-D) is what an erasure that announces itself would leave."
    )
    section.results(found.compression_rates, caption="Compression rate R = 1 - S + h(S)/H.")
    section.results(found.dropout_capacities, caption="Capacity of one neuron of C bits under dropout D.")
    section.figure(figures["depth"])
    section.figure(figures["cascade"])
    section.figure(figures["widths"])
    section.results(found.power_law, caption="Loss of a power-law code in bits, alpha = -1.")
