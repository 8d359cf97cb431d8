"""The circuit page's data and markup: everything the script needs, and nothing from outside the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from eval.report.page import Page
from llm_codes.lenses.circuits.evaluation_page import add_scorecard, add_tests

ASSETS = Path(__file__).parents[2] / "assets"


def add_circuit(page: Page, data: Mapping[str, Any], title: str = "Circuit") -> None:
    """The interactive chapter."""
    section = page.section(title, "circuit-chapter")
    section.text(
        "Left: features before the MLP. Right: features at its output. Blue edges raise, orange edges lower; an edge's "
        "share is its part of the output's total |weight| x rms(input). Labels are the tokens a feature fires on, not "
        "explanations. What the features miss is listed below the graph as error nodes."
    )
    prompt = data["prompt"] or {}
    shown, total = len(prompt.get("tokens", [])), prompt.get("prompt_tokens_total", 0)
    if total > shown:
        section.warning(f"Per-prompt view: first {shown} of {total} tokens of the prompt.")
    section.markup(Markup('<div id="circuit"></div>'))
    page.embed("circuit-data", data)
    page.style((ASSETS / "circuit.css").read_text(encoding="utf-8"))
    page.script((ASSETS / "circuit.js").read_text(encoding="utf-8"))


def add_chapter(page: Page, results: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """The chapter for a report: the scorecard and the tests where there are any, then the circuit."""
    if results.get("scorecard"):
        add_scorecard(page, results)
        add_tests(page, results)
    for saved in figures.values():
        page.sections[-1].figure(saved)
    if results.get("circuit"):
        add_circuit(page, results["circuit"])
