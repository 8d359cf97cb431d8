"""Figures of the spectra and of the eigenfilters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from einops import rearrange
from matplotlib.figure import Figure

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from eval.scores import Score
from vision_codes.lenses.spectra.eigenfilters import Eigenfilters
from vision_codes.lenses.spectra.results import Spectra


def draw(run: Run, found: Spectra) -> dict[str, SavedFigure]:
    """Every figure of a spectra run."""
    return {"spectra": draw_spectra(run, found)}


@drawing
def draw_spectra(run: Run, found: Spectra) -> SavedFigure:
    """Spectra of every site and alpha by depth."""
    first, last = found.index_range
    caption = f"Eigenvalues and alpha over indices {first}-{last} (shaded)"
    return save_figure(run, spectra_figure(found), "spectra", caption)


def spectra_figure(found: Spectra) -> Figure:
    """Log-log spectra of every site, shade by depth, with the fitted range marked, and alpha by depth beside."""
    fig, (left, right) = figure(1, 2, width=9.0, height=3.6)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(found.sites)))
    for row, colour in zip(found.sites, colours, strict=True):
        values = found.eigenvalues[row.site]
        values = values[values > 1e-9 * max(values[0], 1e-300)]
        left.loglog(np.arange(1, len(values) + 1), values / values.sum(), color=colour, linewidth=1)
    left.axvspan(*found.index_range, color="#dddddd", zorder=0)
    left.set(xlabel="index", ylabel="share of variance", title="spectra, dark to light with depth")
    layers = [row.layer for row in found.sites]
    right.plot(layers, [_number(row.alpha) for row in found.sites], "o-", color=COLOURS[0], label="as measured")
    corrected = [_number(row.alpha_corrected) for row in found.sites]
    right.plot(layers, corrected, "s-", color=COLOURS[1], label="corrected, 95%")
    for row in found.sites:
        if row.alpha_corrected is not None and row.alpha_corrected.interval:
            right.plot([row.layer] * 2, row.alpha_corrected.interval, color=COLOURS[1], linewidth=1)
    right.axhline(-1, color="black", linewidth=0.8, linestyle=":")
    right.set(xlabel="ReLU site", ylabel="alpha", title="power-law exponent by depth")
    right.legend()
    return fig


def _number(score: Score | None) -> float:
    return math.nan if score is None or score.value is None else score.value


def draw_filters(run: Run, found: Sequence[Eigenfilters]) -> dict[str, SavedFigure]:
    """Every figure of an eigenfilters run."""
    return {"eigenfilters": draw_eigenfilters(run, found)}


@drawing
def draw_eigenfilters(
    run: Run, found: Sequence[Eigenfilters], name: str = "eigenfilters", n_sites: int = 6
) -> SavedFigure:
    """For sites from early to late: leading eigenvectors as pixel filters, and their weight over positions below."""
    chosen = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, n_sites).round().astype(int))]
    columns = max(len(item.share) for item in chosen)
    fig, axes = figure(2 * len(chosen), columns, width=1.15 * columns, height=2.4 * len(chosen), squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for row, item in enumerate(chosen):
        for column in range(len(item.share)):
            above, below = axes[2 * row, column], axes[2 * row + 1, column]
            weights = rearrange(item.pixels[column], "colour height width -> height width colour")
            above.imshow(0.5 + 0.5 * weights / np.abs(weights).max(), cmap="gray", vmin=0, vmax=1)
            below.imshow(np.linalg.norm(item.vectors[column], axis=0), cmap="magma")
            above.set_title(f"{item.site.name} {column + 1}: {item.share[column]:.1%}", fontsize=6)
    caption = "Leading eigenvectors by depth: as filters on pixels (grey is 0), and below their weight over positions"
    return save_figure(run, fig, name, caption)
