"""The chapter on incidental polysemanticity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from eval.report.figures import SavedFigure
from eval.report.page import Page
from toy.incidental.results import IncidentalResult

ASSETS = Path(__file__).parents[1] / "assets"


def add_chapter(page: Page, found: IncidentalResult, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figures and the slider."""
    section = page.section("Incidental polysemanticity", "incidental")
    for text in found.warnings:
        section.warning(text)
    setting = found.setting
    section.text(
        "y = ReLU(W Wᵀ x) on the n basis inputs, squared error plus λ|W|₁. There is room for every feature to have its "
        f"own neuron, yet some share one by accident. λ={setting.l1:g}, {setting.optimiser}, learning rate "
        f"{setting.learning_rate:g}, decoupled weight decay {setting.weight_decay:g}, {setting.steps} steps."
    )
    page.embed("movie", found.movie.to_json())
    page.script((ASSETS / "weights.js").read_text(encoding="utf-8"))
    section.markup(
        Markup(
            '<div id="weights-movie"><p>Weights of one model (rows: features, columns: neurons; blue +, orange -; '
            "outlined: polysemantic) over training. Move the slider.</p>"
            '<canvas style="max-width:100%"></canvas><p><button type="button">Play</button> '
            '<input type="range" min="0" value="0" style="width:60%" aria-label="training step"></p>'
            "<p><output></output></p></div>"
        )
    )
    section.figure(figures["weights"])
    section.figure(figures["counts"])
    section.results(found.counts, caption="Counts beside both laws; `converged` is the convergence gate.")
    section.figure(figures["row"])
    section.figure(figures["rates"])
    section.figure(figures["noise"])
    section.figure(figures["initialisation"])
