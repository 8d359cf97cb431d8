"""Figures of the trajectories: paths and action by depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from eval.measures.projections import projection
from eval.report.figures import COLOURS, SavedFigure, drawing, figure, interval_line, save_figure
from eval.runs import Run
from llm_codes.lenses.trajectories.rows import Trajectories
from llm_codes.models import Model
from llm_codes.sites import Site


@drawing
def draw_trajectory(
    run: Run, model: Model, sites: Sequence[Site], tokens: Sequence[int], found: Trajectories, seed: int
) -> SavedFigure:
    """The text as a curve in two dimensions of a random and of the smoothest projection, by depth; saves the NPZ."""
    activations = model.activations(torch.tensor([list(tokens)]), sites)
    words = model.token_strings(tokens)[1:]
    shown = [sites[i] for i in sorted({0, len(sites) // 2, len(sites) - 1})]
    fig, axes = figure(2, len(shown), width=3.6 * len(shown), height=6.4, squeeze=False)
    arrays: dict[str, Any] = {"tokens": np.array(tokens), "strings": np.array(["", *words])}
    for site in sites:
        frames = activations[site.hook][0, 1:].double().cpu().numpy()
        random = frames @ projection.random_projections(site.width, 1, seed=seed)[0]
        smooth = frames @ found.smoothest[site.hook] if site.hook in found.smoothest else np.zeros((len(frames), 3))
        arrays |= {f"{site.name}/random": random, f"{site.name}/smoothest": smooth}
        if site in shown:
            column = shown.index(site)
            _path(axes[0, column], random, words, f"{site.name}: random projection")
            _path(axes[1, column], smooth, words, f"{site.name}: smoothest directions")
    run.write_arrays("trajectory", **arrays)
    caption = (
        "One text as a curve, token by token, in the first two dimensions of a random projection (above) and of the "
        "exact minimum-action directions (below). Colour runs from the first token (dark) to the last; position 0 is "
        "left out."
    )
    return save_figure(run, fig, "trajectory", caption)


def _path(axis: Any, path: np.ndarray, words: Sequence[str], title: str) -> None:
    axis.plot(path[:, 0], path[:, 1], color="#b8bec8", linewidth=0.8, zorder=1)
    axis.scatter(path[:, 0], path[:, 1], c=np.arange(len(path)), cmap="viridis", s=10, zorder=2)
    for number in range(0, len(path), max(1, len(path) // 12)):
        label = words[number].strip()[:10].replace("$", r"\$") or "_"
        axis.annotate(label, path[number, :2], fontsize=6.5, xytext=(2, 2), textcoords="offset points")
    axis.set_title(title)
    axis.set(xticks=[], yticks=[])


@drawing
def draw_depth(run: Run, found: Trajectories) -> SavedFigure:
    """Action per variance by depth with its interval, and the exact minimum beside the best of the sample."""
    caption = "Roughness of the code along a text by depth, with 95% intervals over documents. Lower is smoother."
    return save_figure(run, plot(found), "action", caption)


def plot(found: Trajectories) -> Any:
    """The picture of a result: action by depth."""
    fig, (left, right) = figure(1, 2, width=8.4)
    for kind, colour in zip(dict.fromkeys(row.kind for row in found.sites), COLOURS, strict=False):
        mine = [row for row in found.sites if row.kind == kind]
        interval_line(
            left, [row.layer for row in mine], [row.action_over_trace for row in mine], label=kind, colour=colour
        )
        exact = [(row.layer, row.minimum_action) for row in mine if row.minimum_action is not None]
        drawn = [(row.layer, row.best_sampled) for row in mine if row.best_sampled is not None]
        right.plot([layer for layer, _ in exact], [value for _, value in exact], "o-", ms=3.5, color=colour)
        held_out = [row.minimum_action_held_out for row in mine]
        interval_line(right, [row.layer for row in mine], held_out, label="held out", colour=colour, linestyle=":")
        right.plot([layer for layer, _ in drawn], [value for _, value in drawn], "s--", ms=3.5, color=colour, alpha=0.6)
    left.axhline(1, color="#555555", linewidth=0.8, linestyle="--")
    left.set(title="Action per variance", xlabel="layer", ylabel="action / trace")
    right.set(title="Smoothest (dotted: held out; dashed: best sampled)", xlabel="layer", yscale="log")
    left.legend()
    return fig
