"""The chapter on the dropout channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.report.figures import SavedFigure
from eval.report.page import Page


def add_chapter(page: Page, results: dict[str, Any], figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figures."""
    section = page.section("Dropout channel", "dropout-channel")
    for text in results.get("warnings", []):
        section.warning(text)
    section.text(
        "A message of k bits goes through a deep tanh network; every layer erases a share D of its neurons. What a "
        "layer still knows of the message is a decoder bound on held-out messages with known H(X) = k bits."
    )
    section.figure(figures["depth"])
    section.figure(figures["self_tests"])
    section.table(results["self_tests"], caption="Estimators on problems with a known answer.")
