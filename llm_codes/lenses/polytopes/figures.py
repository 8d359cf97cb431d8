"""Figures of the polytope lens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, interval_line, save_figure
from eval.runs import Run
from llm_codes.lenses.polytopes.panel_rows import NeuronRow
from llm_codes.lenses.polytopes.rays import SCALES
from llm_codes.lenses.polytopes.rows import DensityRow

if TYPE_CHECKING:
    from llm_codes.lenses.polytopes.study import Study

SHOWN_DIRECTIONS = 8
SHOWN_CLUSTERS = 6


def draw(run: Run, found: Study) -> dict[str, SavedFigure]:
    """Density by layer, cosine histograms by cluster, density along rays."""
    figures = {"density": draw_density(run, found.results.density)}
    if found.histograms[1].size:
        figures["cosines"] = draw_cosines(run, found)
    if found.rays:
        figures["rays"] = draw_rays(run, found)
    if found.results.neurons:
        figures["neurons"] = draw_neurons(run, found.results.neurons)
    return figures


@drawing
def draw_density(run: Run, rows: Sequence[DensityRow]) -> SavedFigure:
    names = list(dict.fromkeys(row.classes for row in rows))
    fig, axes = figure(1, len(names), width=3.6 * len(names), height=3.0, squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        mine = [row for row in rows if row.classes == name]
        layers = [row.layer for row in mine]
        for side, colour in (("intra", COLOURS[0]), ("inter", COLOURS[1])):
            interval_line(axis, layers, [getattr(row, side) for row in mine], label=f"{side}-class", colour=colour)
        axis.set_title(f"class: {name}")
        axis.set_xlabel("layer")
        axis.set_yscale("log")
        axis.legend()
    axes[0][0].set_ylabel("polytope density (bits / length)")
    caption = "Differing bits per distance between tokens of one class and of two, with 95% intervals over classes."
    return save_figure(run, fig, "density", caption)


@drawing
def draw_cosines(run: Run, found: Study) -> SavedFigure:
    edges, counts = found.histograms
    rows = found.results.directions.nmf.directions
    shown = np.argsort([-row.effective_clusters for row in rows], kind="stable")[:SHOWN_DIRECTIONS]
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    fig, axes = figure(lines, columns, width=2.1 * columns, height=1.75 * lines, squeeze=False, sharex=True)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, d in zip(axes.flat, shown, strict=False):
        groups = np.concatenate([counts[d][1 : SHOWN_CLUSTERS + 1], counts[d][SHOWN_CLUSTERS + 1 :].sum(0)[None]])
        bottom = np.zeros(len(edges) - 1)
        for number, group in enumerate(groups):
            last = number == len(groups) - 1
            label = "other clusters" if last else f"cluster {number}"
            colour = "#b8b8b8" if last else COLOURS[number % len(COLOURS)]
            axis.bar(edges[:-1], group, np.diff(edges), bottom, align="edge", color=colour, label=label)
            bottom = bottom + group
        words = " ".join(repr(t) for t in rows[d].top_tokens[:3]).replace("$", r"\$")
        axis.set_title(f"NMF {d}\n{words}", fontsize=7)
        axis.set_xlim(-0.2, 1)
    axes.flat[0].legend(fontsize=5)
    fig.supxlabel("cosine with the direction", fontsize=8)
    fig.supylabel("clustered tokens", fontsize=8)
    caption = "Cosines of hidden activations with the NMF directions that cross most clusters, coloured by cluster."
    return save_figure(run, fig, "cosines", caption)


@drawing
def draw_neurons(run: Run, rows: Sequence[NeuronRow]) -> SavedFigure:
    """The strongest tokens of each neuron, cluster by cluster, in the colour of their cluster."""
    columns = min(2, len(rows))
    lines = -(-len(rows) // columns)
    fig, axes = figure(lines, columns, width=7.2, height=1.9 * lines, squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    for axis, row in zip(axes.flat, rows, strict=False):
        names = list(dict.fromkeys(one.cluster for one in row.tokens if one.cluster >= 0))
        shade = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
        colours = [shade.get(one.cluster, "#b8b8b8") for one in row.tokens]
        places = np.arange(len(row.tokens))
        axis.bar(places, [one.activation for one in row.tokens], color=colours)
        words = [one.token.strip().replace("$", r"\$") or repr(one.token) for one in row.tokens]
        axis.set_xticks(places, words, rotation=60, ha="right", fontsize=5, rotation_mode="anchor")
        axis.set_title(f"layer {row.layer}, neuron {row.unit}: {row.n_clusters} clusters", fontsize=7)
        axis.grid(visible=False)
    fig.supylabel("activation", fontsize=8)
    caption = (
        "Neurons whose strongest tokens lie in most clusters of codes; one colour is one cluster, grey: in no cluster. "
        "Counted: clusters with two tokens or more."
    )
    return save_figure(run, fig, "neurons", caption)


@drawing
def draw_rays(run: Run, found: Study) -> SavedFigure:
    fig, (left, right) = figure(1, 2, width=7.2, height=2.9)
    middle = (SCALES[1:] + SCALES[:-1]) / 2
    for (name, rays), colour in zip(found.rays.items(), COLOURS, strict=False):
        density = rays.density / np.nanmean(rays.density, axis=1, keepdims=True)
        left.plot(middle, np.nanmean(density, axis=0), color=colour, label=name)
        right.plot(middle, rays.changed.mean(0), color=colour, label=name)
    for axis in (left, right):
        axis.axvline(1, color="#7A7A7A", linewidth=0.8, linestyle="--")
        axis.set_xlabel("scale s of the activation")
        axis.legend()
    left.set_yscale("log")
    left.set_ylabel("density / mean of the ray")
    right.set_ylabel("share of rays: next token changes")
    caption = "Scaling one activation: sampled lower bound of the density, and changes of the most likely next token."
    return save_figure(run, fig, "rays", caption)
