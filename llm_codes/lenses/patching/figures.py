"""Heat maps of what was patched: layers by places, layers by heads, senders by receivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.report.figures import SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from llm_codes.lenses.patching.activations import HEADS, SITES
from llm_codes.lenses.patching.paths import PATHS
from llm_codes.lenses.patching.rows import Patched

CAPTION = "Mean over pairs; a dot: beyond another pair's activation (Holm, this table) and the untrained network."


@drawing
def draw_sites(run: Run, rows: Sequence[Patched]) -> SavedFigure:
    """One panel for each kind of site."""
    fig, axes = figure(1, len(SITES), width=11.0, height=3.9)
    limit = _limit([row for row in rows if row.part in SITES])
    for axis, kind in zip(axes, SITES, strict=True):
        _heat(fig, axis, [row for row in rows if row.part == kind], kind, limit, bar=axis is axes[-1])
    words = "Share of the logit difference that one clean activation restores in the corrupted prompt."
    return save_figure(run, fig, "sites", f"{words} {CAPTION}")


@drawing
def draw_heads(run: Run, rows: Sequence[Patched]) -> SavedFigure:
    """Layers by heads."""
    fig, axis = figure(width=6.0, height=3.6)
    own = [row for row in rows if row.part == HEADS]
    _heat(fig, axis, own, "one head, all positions", _limit(own))
    words = "Share of the logit difference that one head's clean output restores."
    return save_figure(run, fig, "heads", f"{words} {CAPTION}")


@drawing
def draw_paths(run: Run, rows: Sequence[Patched]) -> SavedFigure:
    """Senders by receivers."""
    own = [row for row in rows if row.part == PATHS]
    side = 1.8 + 0.3 * len({row.row for row in own})
    fig, axis = figure(width=min(side + 1.6, 14.0), height=min(side, 12.0))
    _heat(fig, axis, own, "sender (up) to receiver (across)", _limit(own))
    words = "Share of the logit difference that corrupting one direct path takes away from the clean prompt."
    return save_figure(run, fig, "paths", f"{words} {CAPTION}")


def _limit(rows: Sequence[Patched]) -> float:
    """The end of the colours: the largest mean in size, at least .05 and at most 1."""
    largest = max((abs(row.restored.value or 0.0) for row in rows), default=0.0)
    return max(0.05, min(1.0, largest))


def _heat(fig: Any, axis: Any, rows: Sequence[Patched], title: str, limit: float, bar: bool = True) -> None:
    """A panel; those that share a bar share its limit."""
    up, across = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("row", "column"))
    values = np.full((len(up), len(across)), np.nan)
    for row in rows:
        place = up.index(row.row), across.index(row.column)
        values[place] = np.nan if row.restored.value is None else row.restored.value
        if row.beyond:
            axis.plot(place[1], place[0], ".", color="black", markersize=4)
    image = axis.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", origin="lower")
    axis.set_yticks(range(len(up)), up, fontsize=7)
    axis.set_xticks(range(len(across)), across, rotation=60, ha="right", fontsize=7)
    axis.grid(False)
    axis.set_title(title)
    if bar:
        fig.colorbar(image, ax=axis, shrink=0.85)
