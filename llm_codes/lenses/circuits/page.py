"""The circuit page's data and markup: everything the script needs, and nothing from outside the file."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from eval.report.page import Page
from llm_codes.lenses.circuits.rows import CircuitPage

ASSETS = Path(__file__).parents[2] / "assets"


def add_circuit(page: Page, data: CircuitPage, title: str = "Circuit") -> None:
    """The interactive chapter."""
    section = page.section(title, "circuit-chapter")
    section.text(
        "Left: features before the MLP. Right: features at its output. Blue edges raise, orange edges lower; an edge's "
        "share is its part of the output's total |weight| x rms(input). Labels are the tokens a feature fires on, not "
        "explanations. What the features miss is listed below the graph as error nodes."
    )
    shown, total = len(data.prompt.tokens), data.prompt.prompt_tokens_total
    if total > shown:
        section.warning(f"Per-prompt view: first {shown} of {total} tokens of the prompt.")
    section.markup(Markup('<div id="circuit"></div>'))
    page.embed("circuit-data", data.to_json())
    page.style((ASSETS / "circuit.css").read_text(encoding="utf-8"))
    page.script((ASSETS / "circuit.js").read_text(encoding="utf-8"))
