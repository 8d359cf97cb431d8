"""Figures of the spectra: alpha by depth, eigenvalues, dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, interval_line, save_figure
from eval.runs import Run
from llm_codes.lenses.spectra.rows import SiteSpectrum, Spectra

ALPHA_CAPTION = (
    "Power-law exponent of the eigenspectrum by depth, corrected for the number of tokens and documents, with 95% "
    "intervals over documents (bars). Dotted: as measured, without correction. Dashed: alpha = -1. Higher (closer "
    "to 0) is a flatter spectrum, a less redundant code."
)


def draw(run: Run, trained: Spectra, control: Spectra | None) -> dict[str, SavedFigure]:
    """Alpha by depth with intervals and the control; log-log spectra with fits by depth; dimension."""
    return {
        "alpha": save_figure(run, alpha_figure(trained, control), "alpha-by-depth", ALPHA_CAPTION),
        "spectra": draw_spectra(run, trained),
        "dimension": draw_dimension(run, trained, control),
    }


def plot(found: Spectra) -> Any:
    """The picture of a result: alpha by depth."""
    return alpha_figure(found, None)


def alpha_figure(trained: Spectra, control: Spectra | None) -> Any:
    """Corrected alpha by depth with its intervals, one panel per kind of site."""
    kinds = trained.kinds
    fig, axes = figure(1, len(kinds), width=4.2 * len(kinds), squeeze=False, sharey=True)
    for axis, kind in zip(axes[0], kinds, strict=True):
        for found, label, colour in ((trained, "trained", COLOURS[0]), (control, "untrained", COLOURS[6])):
            if found is not None:
                rows = found.of_kind(kind)
                layers = [row.layer for row in rows]
                interval_line(axis, layers, [row.alpha_corrected for row in rows], label=label, colour=colour)
        rows = [row for row in trained.of_kind(kind) if row.alpha is not None]
        style = {"linewidth": 0.9, "linestyle": ":", "color": COLOURS[0]}
        axis.plot([row.layer for row in rows], [row.alpha for row in rows], label="trained, as measured", **style)
        axis.axhline(-1, color="#555555", linewidth=0.8, linestyle="--")
        axis.set(title=kind, xlabel="layer")
    axes[0, 0].set_ylabel("alpha")
    axes[0, -1].legend()
    return fig


@drawing
def draw_spectra(run: Run, trained: Spectra) -> SavedFigure:
    """Eigenvalues by rank as shares of the variance, one panel per kind, with the fits over the shaded range."""
    kinds = trained.kinds
    fig, axes = figure(1, len(kinds), width=4.2 * len(kinds), height=3.6, squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        rows = trained.of_kind(kind)
        colours = colormaps["viridis"](np.linspace(0, 0.9, len(rows)))
        for row, colour in zip(rows, colours, strict=True):
            _draw_spectrum(axis, trained, row, colour)
        axis.axvspan(*trained.index_range, color="#000000", alpha=0.04)
        axis.set(title=kind, xlabel="index", ylabel="share of variance")
        step = max(1, len(rows) // 6)
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(handles[::step], labels[::step], loc="lower left")
    caption = "Eigenvalues by rank, as shares of the variance, with the Huber fit over the shaded indices (dashed)."
    return save_figure(run, fig, "spectra", caption)


def _draw_spectrum(axis: Any, trained: Spectra, row: SiteSpectrum, colour: Sequence[float]) -> None:
    values = trained.eigenvalues[row.site]
    values = values[values > values[0] * 1e-9] / values.sum()
    axis.loglog(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.1, label=row.site)
    if row.alpha is not None and row.intercept is not None:
        index = np.array(trained.index_range, dtype=float)
        line = np.exp(row.intercept) * index**row.alpha / trained.eigenvalues[row.site].sum()
        axis.loglog(index, line, color="black", linewidth=0.7, linestyle="--")


@drawing
def draw_dimension(run: Run, trained: Spectra, control: Spectra | None) -> SavedFigure:
    """How many directions the code uses by depth, and how much the largest holds."""
    fig, (left, right) = figure(1, 2, width=8.4, height=2.8)
    for kind, colour in zip(trained.kinds, COLOURS, strict=False):
        for found, style, label in ((trained, "o-", kind), (control, "s:", f"{kind}, untrained")):
            rows = found.of_kind(kind) if found else []
            for axis, key in ((left, "participation_ratio"), (right, "top_direction_share")):
                points = [(row.layer, getattr(row, key)) for row in rows if getattr(row, key) is not None]
                if points:
                    axis.plot(*zip(*points, strict=True), style, color=colour, ms=3.5, lw=1.1, label=label)
    left.set(title="Participation ratio (bias-corrected)", xlabel="layer", yscale="log")
    right.set(title="Share of variance in the largest direction", xlabel="layer", ylim=(0, 1))
    left.legend()
    return save_figure(run, fig, "dimension", "How many directions the code uses, and how much one direction holds.")
