"""The chapter on the dropout channel."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.figures import SavedFigure
from eval.report.page import Page
from toy.dropout_channel.results import DropoutChannelResult


def add_chapter(page: Page, found: DropoutChannelResult, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figures."""
    section = page.section("Dropout channel", "dropout-channel")
    for text in found.warnings:
        section.warning(text)
    section.text(
        "A message of k bits goes through a deep tanh network; every layer erases a share D of its neurons. What a "
        "layer still knows of the message is a decoder bound on held-out messages with known H(X) = k bits."
    )
    section.figure(figures["depth"])
    section.figure(figures["self_tests"])
    section.results(found.self_tests, caption="Estimators on problems with a known answer.")
