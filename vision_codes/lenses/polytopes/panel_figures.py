"""Figures of the panels: cosines of directions, channels with their clusters, boundary density in a slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from eval.measures.geometry.boundary_length import boundary_length
from eval.measures.geometry.slices import Slice
from eval.report.figures import COLOURS, STYLE, SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from vision_codes.lenses.polytopes.directions import TOP_ITEMS
from vision_codes.lenses.polytopes.patches import Places, patch

SHOWN_DIRECTIONS = 8
SHOWN_CLUSTERS = 6
SHOWN_PLACES = 14
GREY = "#b8b8b8"
CELLS = 48


@drawing
def draw_cosines(run: Run, edges: np.ndarray, counts: np.ndarray, found: Mapping[str, Any]) -> SavedFigure:
    caption = (
        f"Cosines of channel activations at {found['site']} with the NMF directions that cross most clusters of codes, "
        "coloured by cluster (grey: smaller clusters); places in no cluster are left out."
    )
    return save_figure(run, cosines_figure(edges, counts, found["rows"]), "cosines", caption)


@drawing
def draw_units(run: Run, images: np.ndarray, places: Places, found: Mapping[str, Any]) -> SavedFigure:
    caption = (
        f"Channels of {found['site']} whose strongest places lie in most clusters of codes: the image around each "
        "place, cluster by cluster; one frame colour is one cluster, grey is none. Counted: clusters with two places "
        f"or more among a channel's {TOP_ITEMS} strongest, of which at most {SHOWN_PLACES} are shown."
    )
    return save_figure(run, units_figure(images, places, found["units"]), "units", caption)


@drawing
def draw_boundary_density(run: Run, found: Slice, corners: np.ndarray, name: str) -> SavedFigure:
    caption = (
        "Boundary per area in the same slice, exact: 2 / pi times it is the density of crossings along a line of any "
        "direction. Dots: images that lie in the window."
    )
    return save_figure(run, boundary_density_figure(found, corners), name, caption)


def _bare(axis: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)


def cosines_figure(edges: np.ndarray, counts: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """One histogram for each direction, stacked by cluster. counts ``[direction group bin]``, group 0: no cluster."""
    shown = np.argsort([-row["effective_clusters"] for row in rows], kind="stable")[:SHOWN_DIRECTIONS]
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    fig, axes = figure(lines, columns, width=7.2, height=1.75 * lines, squeeze=False, sharex=True)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, number in zip(axes.flat, shown, strict=False):
        large = np.argsort(-counts[number][1:].sum(1), kind="stable")[:SHOWN_CLUSTERS]
        rest = counts[number][1:].sum(0) - counts[number][1:][large].sum(0)
        bottom = np.zeros(len(edges) - 1)
        for place, group in enumerate([*counts[number][1:][large], rest]):
            colour = COLOURS[place % len(COLOURS)] if place < len(large) else GREY
            axis.bar(edges[:-1], group, np.diff(edges), bottom, align="edge", color=colour)
            bottom = bottom + group
        axis.set_title(f"NMF {number}: {rows[number]['effective_clusters']:.1f} clusters", fontsize=7)
        axis.set_xlim(0, 1)
    fig.supxlabel("cosine with the direction", fontsize=8)
    fig.supylabel("clustered places", fontsize=8)
    return fig


def units_figure(
    images: np.ndarray, places: Places, units: Sequence[Mapping[str, Any]], columns: int = SHOWN_PLACES
) -> Figure:
    """One row for each channel: its strongest places, sorted and framed by their cluster of codes."""
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(7.2, 0.58 * max(1, len(units)) + 0.2), layout="constrained")
        axes = fig.subplots(max(1, len(units)), columns, squeeze=False)
    for row, unit in zip(axes, units, strict=False):
        clusters = list(dict.fromkeys(int(c) for c in unit["clusters"] if c >= 0))
        members = list(zip(unit["members"], unit["clusters"], strict=True))[:columns]
        for axis, (item, cluster) in zip(row, members, strict=False):
            axis.imshow(patch(images, places, int(item)), interpolation="nearest")
            colour = COLOURS[clusters.index(int(cluster)) % len(COLOURS)] if cluster >= 0 else GREY
            for spine in axis.spines.values():
                spine.set(color=colour, linewidth=2.4, visible=True)
        row[0].set_ylabel(f"channel {unit['unit']}\n{unit['n_clusters']} clusters", rotation=0, ha="right", va="center")
        row[0].yaxis.label.set_fontsize(7)
        for axis in row[len(members) :]:
            axis.set_visible(False)
    for axis in axes.flat:
        _bare(axis)
    return fig


def boundary_density_figure(found: Slice, corners: np.ndarray) -> Figure:
    """Length of boundary per area on a grid over the slice's window."""
    low_u, high_u, low_v, high_v = found.plane.extent
    columns, rows = np.linspace(low_u, high_u, CELLS + 1), np.linspace(low_v, high_v, CELLS + 1)
    pieces = [cuts.reshape(-1, 2, 2) for cuts in found.boundaries.values() if len(cuts)]
    walls = np.concatenate(pieces) if pieces else np.empty((0, 2, 2))
    density = boundary_length(walls, columns, rows) / ((columns[1] - columns[0]) * (rows[1] - rows[0]))
    fig, axis = figure(width=4.6, height=3.8)
    shown = axis.pcolormesh(columns, rows, density, cmap="magma", rasterized=True)
    inside = [p for p in corners if low_u < p[0] < high_u and low_v < p[1] < high_v]
    if inside:
        axis.plot(*np.array(inside).T, "o", markersize=5, markerfacecolor="white", markeredgecolor="black")
    axis.set_aspect("equal")
    axis.grid(visible=False)
    axis.set_xlabel("u")
    axis.set_ylabel("v")
    fig.colorbar(shown, ax=axis, label="boundary length / area")
    return fig
