"""Figures of a comparison: alpha by relative depth of every run, and by run at every layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps

from eval.report.figures import SavedFigure, drawing, figure, interval_line, save_figure
from eval.runs import Run
from eval.scores import Score
from llm_codes.lenses.spectra.rows import ComparedRun, Comparison

SERIES_FROM = 3
"""So many runs are a series, drawn by run as well as by depth."""


def plot(compared: Comparison) -> Any:
    """The picture of a comparison: by run where there are enough for a series, else by depth."""
    return series_figure(compared) if len(compared.runs) >= SERIES_FROM else depth_figure(compared)


def _kinds(compared: Comparison) -> list[str]:
    return list(dict.fromkeys(site.kind for site in compared.runs[0].sites))


def _colours(count: int) -> Any:
    return colormaps["viridis"](np.linspace(0, 0.85, count))


def depth_figure(compared: Comparison) -> Any:
    """Alpha by relative depth of every run, one panel per kind of site."""
    kinds = _kinds(compared)
    fig, axes = figure(1, len(kinds), width=4.2 * len(kinds), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        for found, colour in zip(compared.runs, _colours(len(compared.runs)), strict=True):
            sites = [site for site in found.sites if site.kind == kind]
            depths, scores = [site.depth for site in sites], [site.alpha_corrected for site in sites]
            interval_line(axis, depths, scores, label=f"{found.letter}: {found.label}", colour=colour)
        axis.axhline(-1, color="#555555", linewidth=0.8, linestyle="--")
        axis.set(title=kind, xlabel="relative depth", ylabel="alpha (corrected)")
        axis.legend()
    return fig


def series_figure(compared: Comparison) -> Any:
    """Alpha by run, in the order given, one line per layer of the first run, one panel per kind of site."""
    kinds = _kinds(compared)
    fig, axes = figure(1, len(kinds), width=4.2 * len(kinds), squeeze=False)
    letters = [found.letter for found in compared.runs]
    for axis, kind in zip(axes[0], kinds, strict=True):
        sites = [site for site in compared.runs[0].sites if site.kind == kind]
        for site, colour in zip(sites, _colours(len(sites)), strict=True):
            scores = [_nearest(found, kind, site.depth) for found in compared.runs]
            interval_line(axis, range(len(letters)), scores, label=f"layer {site.layer}", colour=colour)
        axis.axhline(-1, color="#555555", linewidth=0.8, linestyle="--")
        axis.set(title=kind, xlabel="run", ylabel="alpha (corrected)", xticks=range(len(letters)), xticklabels=letters)
        axis.legend()
    return fig


def _nearest(found: ComparedRun, kind: str, depth: float) -> Score:
    sites = [site for site in found.sites if site.kind == kind]
    if not sites:
        return Score.undefined(f"no {kind} in this run")
    return min(sites, key=lambda site: abs(site.depth - depth)).alpha_corrected


def draw(run: Run, compared: Comparison) -> list[SavedFigure]:
    """By depth; and by run, where there are enough runs for a series."""
    found = [draw_alpha_compared(run, compared)]
    return found + ([draw_alpha_series(run, compared)] if len(compared.runs) >= SERIES_FROM else [])


@drawing
def draw_alpha_compared(run: Run, compared: Comparison) -> SavedFigure:
    """Alpha by relative depth of every run."""
    caption = "Corrected exponent by relative depth with 95% intervals."
    return save_figure(run, depth_figure(compared), "alpha-compared", caption)


@drawing
def draw_alpha_series(run: Run, compared: Comparison) -> SavedFigure:
    """Alpha by run at every layer."""
    names = "; ".join(f"{found.letter}: {found.label}" for found in compared.runs)
    caption = f"Corrected exponent by run, in the order given, with 95% intervals ({names})."
    return save_figure(run, series_figure(compared), "alpha-series", caption)
