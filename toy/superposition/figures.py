"""Figures of superposition, from the measured results.

Axis glossary: as in `toy.superposition.study`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import ListedColormap

from eval.report.figures import COLOURS, SavedFigure, figure, save_figure
from eval.runs import Run
from toy.superposition.results import PhaseDiagram, Polygon, SuperpositionResult


def draw(run: Run, found: SuperpositionResult) -> dict[str, SavedFigure]:
    """Dimensions per feature, D_i, W^T W, polygons, phase diagram."""
    return {
        "dimensions": _dimensions(run, found),
        "sticky": _sticky(run, found),
        "gram": _gram(run, found),
        "polygons": _polygons(run, found.polygons),
        "phase": _phase(run, found.phase),
    }


def _dimensions(run: Run, found: SuperpositionResult) -> SavedFigure:
    levels = found.levels
    x = [1 / (1 - level.sparsity) for level in levels]
    fig, (left, right) = figure(1, 2, width=7.8, height=3.2)
    for level, position in zip(levels, x, strict=True):
        left.plot([position] * len(level.dimensions_by_seed), level.dimensions_by_seed, ".", color=COLOURS[7])
    left.plot(x, [level.dimensions.value for level in levels], color=COLOURS[7], label="trained, D* = m/‖W‖²")
    for colour, entropy in zip(COLOURS, levels[0].bound, strict=False):
        bound = [level.bound[entropy] for level in levels]
        left.plot(x, bound, "--", color=colour, label=f"bound R, H={entropy} bits")
        ratio = [(level.dimensions.value or 0.0) / b for level, b in zip(levels, bound, strict=True)]
        right.plot(x, ratio, color=colour, label=f"H={entropy} bits")
        informative = 1 / (1 - found.informative_below[entropy])
        right.axvline(informative, color=colour, linewidth=0.8, linestyle=":")
    left.axhline(found.floor, color="#999999", linestyle=":", label="floor m/n")
    for value in (1.0, 0.5):
        left.axhline(value, color="#cccccc", linewidth=0.8)
    right.axhline(1, color="#999999")
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel("1/(1-S)")
        axis.legend()
    left.set_yscale("log")
    left.set_title("Dimensions per feature")
    right.set_title("D*/R: at least 1 if R is a bound")
    caption = (
        f"n={found.n_features}, m={found.n_hidden}, {found.seeds} seeds. Right of a dotted line R is "
        "below the floor m/n and says nothing."
    )
    return save_figure(run, fig, "superposition-dimensions", caption)


def _sticky(run: Run, found: SuperpositionResult) -> SavedFigure:
    fig, axis = figure(width=6.4, height=3.2)
    for level in found.levels:
        shares = level.feature_dimensions
        axis.plot([1 / (1 - level.sparsity)] * len(shares), shares, ".", color=COLOURS[0], alpha=0.15, markersize=5)
    for value, name in ((1, "alone"), (0.5, "antipodal pair"), (0.4, "pentagon")):
        axis.axhline(value, color="#999999", linewidth=0.8)
        axis.text(20.5, value, name, va="center", fontsize=8)
    axis.set_xscale("log")
    axis.set_xlabel("1/(1-S)")
    axis.set_ylabel("D_i of represented features")
    return save_figure(run, fig, "superposition-sticky", "The share of a dimension each feature owns, by sparsity.")


def _gram(run: Run, found: SuperpositionResult) -> SavedFigure:
    levels = found.levels
    picks = [0, len(levels) // 3, len(levels) // 2, len(levels) - 1]
    fig, axes = figure(1, len(picks), width=7.8, height=2.2)
    for axis, pick in zip(axes, picks, strict=True):
        axis.imshow(levels[pick].gram, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
        axis.set_title(f"S = {levels[pick].sparsity:.2f}")
        axis.grid(False)
        axis.set_xticks([])
        axis.set_yticks([])
    return save_figure(run, fig, "superposition-gram", "WᵀW of the 40 longest features of one model (blue +, red -).")


def _polygons(run: Run, polygons: Sequence[Polygon]) -> SavedFigure:
    fig, axes = figure(1, len(polygons), width=6.6, height=2.4)
    for axis, polygon in zip(axes, polygons, strict=True):
        for index, (a, b) in enumerate(zip(*polygon.weights, strict=True)):
            axis.plot([0, a], [0, b], color=COLOURS[index], marker="o", markevery=[1])
        axis.set_xlim(-1.4, 1.4)
        axis.set_ylim(-1.4, 1.4)
        axis.set_aspect("equal")
        axis.set_title(f"S = {polygon.sparsity:g}")
    return save_figure(run, fig, "superposition-polygons", "Five features on two dimensions, best of 8 models.")


def _phase(run: Run, phase: PhaseDiagram) -> SavedFigure:
    fig, axis = figure(width=5.6, height=3.4)
    colours = ListedColormap(["#ffffff", COLOURS[5], COLOURS[2], COLOURS[1]])
    x, y = 1 / np.asarray(phase.active), phase.importances
    axis.pcolormesh(x, y, phase.phases, cmap=colours, vmin=-0.5, vmax=3.5, shading="nearest")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("1/(1-S)")
    axis.set_ylabel("importance of feature 2 relative to 1")
    axis.grid(False)
    for index, name in enumerate(phase.names):
        axis.plot([], [], "s", color=colours(index), label=name, markeredgecolor="#999999")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption = "Two features, one dimension: the best solution of the exact expected loss."
    return save_figure(run, fig, "superposition-phase", caption)
