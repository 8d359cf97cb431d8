"""What each layer's replacement costs, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from llm_codes.lenses.replacement.outputs import VARIANTS
from llm_codes.lenses.replacement.rows import ReplacementRow

PANELS = (("kl", "KL to the model, nats per token"), ("top1", "same most probable token"))


@drawing
def draw_by_layer(run: Run, rows: Sequence[ReplacementRow]) -> SavedFigure:
    """Two panels, one point for each variant and layer, all layers at the right end."""
    places = list(dict.fromkeys(row.layer for row in rows))
    fig, axes = figure(1, 2, width=9.6, height=4.0)
    for axis, (field, label) in zip(axes, PANELS, strict=True):
        for number, variant in enumerate(VARIANTS):
            own = {row.layer: getattr(row, field) for row in rows if row.variant == variant}
            defined = [place for place in places if own[place].is_defined]
            x = np.array([places.index(place) for place in defined]) + 0.12 * (number - 1.5)
            y = np.array([own[place].value for place in defined])
            low, high = (np.array([getattr(own[p], end) or own[p].value for p in defined]) for end in ("low", "high"))
            axis.errorbar(
                x, y, [np.maximum(y - low, 0), np.maximum(high - y, 0)], fmt="o", markersize=4, color=COLOURS[number],
                label=variant, capsize=2,
            )  # fmt: skip
        axis.set_xticks(range(len(places)), places)
        axis.set(xlabel="layer whose MLP is replaced", ylabel=label)
    axes[0].set_yscale("symlog", linthresh=0.01)
    axes[0].set_ylim(bottom=0)
    axes[1].set_ylim(0, 1.02)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    caption = "What is lost where something else stands in for an MLP; 95% intervals over documents."
    return save_figure(run, fig, "replacement", caption)
