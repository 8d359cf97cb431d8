"""The chapter on superposition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.report.figures import SavedFigure
from eval.report.page import Page
from toy.superposition.claims import bound_claims


def add_chapter(page: Page, results: dict[str, Any], figures: Mapping[str, SavedFigure]) -> None:
    """The chapter with its figures."""
    section = page.section("Superposition", "superposition")
    for text in results.get("warnings", []):
        section.warning(text)
    section.text(
        "y = ReLU(WᵀW x + b) with sparse inputs. Dimensions per feature D* = m/‖W‖² fall with sparsity, in steps. The "
        "compression rate R = 1 - S + h(S)/H was offered as their lower bound: " + _bound_words(results) + ". It is "
        "not a fit, and it says nothing where it drops below the floor m/n: " + _informative_words(results) + "."
    )
    for name in ("dimensions", "sticky", "gram", "polygons", "phase"):
        section.figure(figures[name])


def _bound_words(results: dict[str, Any]) -> str:
    """For each H, whether D* stays above R, and by how much it fails to."""
    parts = []
    for entropy in results["levels"][0]["bound"]:
        bound = bound_claims(results, entropy)[0]
        parts.append(f"at H = {entropy} bits it {bound.verdict} (smallest D*/R {bound.measured:.3f})")
    return ", ".join(parts)


def _informative_words(results: dict[str, Any]) -> str:
    parts = [f"above S = {s:.3f} for H = {h} bits" for h, s in results["informative_below"].items()]
    return ", ".join(parts)
