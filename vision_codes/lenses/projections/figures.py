"""Figures of one network: trajectories of random projections, actions by depth."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from vision_codes.lenses.projections.results import Projections


def number(value: float | None) -> float:
    """NaN for an undefined value, which matplotlib leaves out (the tables give the reason)."""
    return math.nan if value is None else value


@drawing
def draw_trajectories(
    run: Run,
    drawn: Mapping[str, Float[np.ndarray, "draw frame dimension"]],
    name: str = "trajectories",
    n_sites: int = 6,
) -> SavedFigure:
    """First two dimensions of one random projection of the closed trajectory, at sites from early to late."""
    names = list(drawn)
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, n_sites).round().astype(int))]
    fig, axes = figure(1, len(chosen), width=1.6 * len(chosen), height=1.9, squeeze=False)
    for axis, site in zip(axes[0], chosen, strict=True):
        path = drawn[site][0]
        colours = matplotlib.colormaps["twilight"](np.linspace(0, 1, len(path)))
        for a, b, colour in zip(path[:-1], path[1:], colours[:-1], strict=True):
            axis.plot([a[0], b[0]], [a[1], b[1]], color=colour, linewidth=1)
        axis.set(title=site, xticks=[], yticks=[])
        axis.set_aspect("equal", adjustable="datalim")
    caption = "One random projection of the moving stimulus by depth (two of its three dimensions, colour is time)"
    return save_figure(run, fig, name, caption)


def draw(run: Run, found: Projections) -> dict[str, SavedFigure]:
    """Every figure of a projections run; no trajectories where no site moves."""
    out = {"actions": draw_actions(run, found)}
    return out | ({"trajectories": draw_trajectories(run, found.drawn())} if found.drawn() else {})


@drawing
def draw_actions(run: Run, found: Projections) -> SavedFigure:
    """Actions by depth."""
    caption = "Action, its growth with frames, and what projections explain, by depth"
    return save_figure(run, actions_figure(found), "actions", caption)


def actions_figure(found: Projections) -> Figure:
    """Action by depth (closed form, and sampled with 3 standard errors), smoothness limits, explained variance."""
    fig, (left, middle, right) = figure(1, 3, width=10, height=3.0)
    layers = [row.layer for row in found.sites]
    left.semilogy(layers, [number(row.action.value) for row in found.sites], "-", color=COLOURS[0], label="closed form")
    sampled = [row for row in found.sites if row.moves]
    errors = [3 * number(row.action_sampled_standard_error) for row in sampled]
    depth = [row.layer for row in sampled]
    left.errorbar(depth, [row.action_sampled for row in sampled], errors, fmt=".", color=COLOURS[1], label="sampled")
    left.set(xlabel="ReLU site", title="action")
    left.legend()
    for key, colour in (("refinement_slope", COLOURS[0]), ("predicted_slope", COLOURS[6])):
        values = [number(getattr(row, key)) for row in found.sites]
        middle.plot(layers, values, "o-", color=colour, label=key.replace("_", " "))
    middle.set(xlabel="ReLU site", title="d log action / d log frames")
    middle.legend()
    for key, colour in (("explained_coordinates", COLOURS[0]), ("explained_pixels", COLOURS[1])):
        right.plot(depth, [getattr(row, key) for row in sampled], "o-", color=colour, label=key.replace("_", " "))
        ranges = np.array([getattr(row, f"{key}_range") for row in sampled]).reshape(-1, 2)
        right.fill_between(depth, ranges[:, 0], ranges[:, 1], color=colour, alpha=0.15, linewidth=0)
    right.axhline(0, color="black", linewidth=0.8)
    right.set(xlabel="ReLU site", title="held-out R^2 (median, 95% of projections)")
    right.legend()
    return fig
