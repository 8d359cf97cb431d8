"""The chapter on the one-way code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.report.figures import SavedFigure
from eval.report.page import Page


def add_chapter(page: Page, results: dict[str, Any], figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figure and tables."""
    section = page.section("One-way code", "one-way")
    for text in results.get("warnings", []):
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
    section.table(results["fixed"], caption="Positive control: fixed (p, g), linear probe of the last layer.")
    rows = [
        {"primes": "+".join(map(str, entry["primes"])), "budget": budget}
        | {key: cell[key] for key in ("layer", "given", "kind", "task")}
        | {"accuracy": cell["accuracy"][index], "standard error": cell["standard_error"][index]}
        for entry in results["varying"]
        for cell in entry["cells"]
        for index, budget in enumerate(results["budgets"])
        if cell["layer"] in (0, results["layers"] - 1)
    ]
    section.table(
        rows, caption="First and last layer by probe kind, budget and task (control: x shuffled over triples)."
    )
