"""The chapter on the one-way code."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.figures import SavedFigure
from eval.report.page import Page
from toy.one_way.results import OneWayResult


def add_chapter(page: Page, found: OneWayResult, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figure and tables."""
    section = page.section("One-way code", "one-way")
    for text in found.warnings:
        section.warning(text)
    section.text(
        "A network learns y = g^x mod p from one-hot (p, g, x). Probes look for x in every layer, trained on some "
        "triples and tested on others. For one fixed (p, g) the map is a bijection and nothing can be hidden; with "
        "varying (p, g) the last layer may be read alone or together with (p, g)."
    )
    section.warning(
        "What this shows: where x stops being readable for probes of a stated budget. What it does not show: "
        "computational hardness. All triples of these primes fit into a table of a few hundred rows."
    )
    section.figure(figures["probes"])
    section.results(found.fixed, caption="Positive control: fixed (p, g), linear probe of the last layer.")
    rows = [
        {"primes": "+".join(map(str, entry.primes)), "budget": budget}
        | {"layer": cell.layer, "given": cell.given, "kind": cell.kind, "task": cell.task}
        | {"accuracy": cell.accuracy[index], "standard error": cell.standard_error[index]}
        for entry in found.varying
        for cell in entry.cells
        for index, budget in enumerate(found.budgets)
        if cell.layer in (0, found.layers - 1)
    ]
    section.table(
        rows,
        caption="First and last layer by probe kind, budget and task (control: x shuffled; untrained: the start).",
    )
