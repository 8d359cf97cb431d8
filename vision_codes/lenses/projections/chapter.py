"""The page of a projections run, written from the configuration and the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.report.page import Page
from eval.runs import Run
from vision_codes.configs.projections import StimulusOptions
from vision_codes.lenses.projections.figures import draw
from vision_codes.lenses.projections.results import COLUMNS, Projections


def reasons_text(found: Projections) -> str:
    """Why sites are undefined, for below a table; empty where none is."""
    lines = [f"undefined at {row.site}: {row.action.reason}" for row in found.sites if row.action.reason]
    return "\n\n" + "\n".join(lines) if lines else ""


def in_words(stimulus: StimulusOptions) -> str:
    """The stimulus, for a page."""
    settings = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in stimulus.settings().items())
    return f"Stimulus: a moving {stimulus.stimulus} in {stimulus.frames} frames ({settings})."


def write_page(
    run: Run, found: Projections, stimulus: StimulusOptions, model: str, provenance: Mapping[str, Any]
) -> None:
    """`report.html` of a projections run."""
    page = Page(f"Random projections of a moving {found.stimulus}", f"{len(found.sites)} ReLU sites of {model}")
    figures = draw(run, found)
    section = page.section("Trajectories by depth").text(in_words(stimulus))
    if found.drawn():
        section.figure(figures["trajectories"])
    else:
        section.warning("No site moves enough for a projection; the table says why.")
    section = page.section("Action and what it explains").figure(figures["actions"])
    for line in reasons_text(found).split("\n"):
        if line:
            section.warning(line)
    section.table(found.rows(), COLUMNS)
    page.write(run, provenance=dict(provenance))
