"""The chapter on superposition."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.figures import SavedFigure
from eval.report.page import Page
from toy.superposition.claims import bound_claims
from toy.superposition.results import SuperpositionResult


def add_chapter(page: Page, found: SuperpositionResult, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figures."""
    section = page.section("Superposition", "superposition")
    for text in found.warnings:
        section.warning(text)
    section.text(
        "y = ReLU(WᵀW x + b) with sparse inputs. Dimensions per feature D* = m/‖W‖² fall with sparsity, in steps. The "
        "compression rate R = 1 - S + h(S)/H was offered as their lower bound: " + bound_words(found) + ". It is "
        "not a fit, and it says nothing where it drops below the floor m/n: " + _informative_words(found) + "."
    )
    for name in ("dimensions", "sticky", "gram", "polygons", "phase"):
        section.figure(figures[name])


def bound_words(found: SuperpositionResult) -> str:
    """For each H, whether D* stays above R, and by how much it fails to."""
    parts = []
    for entropy in found.levels[0].bound:
        bound = bound_claims(found, entropy)[0]
        parts.append(f"at H = {entropy} bits it {bound.verdict} (smallest D*/R {bound.measured:.3f})")
    return ", ".join(parts)


def _informative_words(found: SuperpositionResult) -> str:
    parts = [f"above S = {s:.3f} for H = {h} bits" for h, s in found.informative_below.items()]
    return ", ".join(parts)
