"""The chapter on an unwrapped digit classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.claims import Claim, claims_rows
from eval.report.figures import SavedFigure
from eval.report.page import Page


def add_chapter(
    page: Page, results: Mapping[str, Any], figures: Mapping[str, SavedFigure], claims: Sequence[Claim]
) -> None:
    """The chapter: what substitution costs, the claims, the pictures."""
    section = page.section("What substitution costs", "unwrap")
    section.text(
        "Layers 2 and 3 are replaced: features of the first hidden layer go through two sparse connectors, are decoded "
        "and read out. Intervals are 95% over networks."
    )
    section.table(results["summary"])
    page.section("Statements of the feature-connector post", "claims").table(claims_rows(claims))
    pictures = page.section("Connectors and features", "pictures")
    for saved in figures.values():
        pictures.figure(saved)
