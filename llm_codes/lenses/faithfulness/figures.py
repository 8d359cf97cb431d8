"""Faithfulness against the number of nodes kept."""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.figures import COLOURS, SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from llm_codes.lenses.faithfulness.gates import SHUFFLED
from llm_codes.lenses.faithfulness.rows import ALL_KINDS, METRICS, Curve

SMALLEST = 20.0  # nodes, where the logarithmic axis starts; nothing kept is drawn there


@drawing
def draw_curves(run: Run, curves: Sequence[Curve]) -> SavedFigure:
    """One panel for each ablation; solid: errors stay, dashed: errors ablated, dotted: neurons."""
    fig, axes = figure(1, 2, width=9.6, height=4.4)
    colours = {"graph": COLOURS[0], "gradients": COLOURS[1], "random": COLOURS[6]}
    styles = {"stay": "-", "ablated": "--", "none": ":"}
    for axis, ablation in zip(axes, ("mean", "resample"), strict=True):
        for curve in curves:
            if (curve.prompts, curve.metric, curve.ablation) != (ALL_KINDS, METRICS[0], ablation):
                continue
            if curve.ranking not in colours or (curve.nodes == SHUFFLED and curve.ranking == "random"):
                continue
            points = [point for point in curve.points if point.faithfulness.is_defined]
            x = [max(point.kept, SMALLEST) for point in points]
            y = [float(point.faithfulness.value or 0) for point in points]
            words = f"{curve.nodes} by {curve.ranking}" + (", errors ablated" if curve.errors == "ablated" else "")
            colour = COLOURS[3] if curve.nodes == SHUFFLED else colours[curve.ranking]
            style = {"color": colour, "linestyle": styles[curve.errors], "linewidth": 1.3}
            axis.plot(x, y, label=words, **style)
        axis.set(title=f"{ablation}-ablated", xlabel="nodes kept, of a prompt")
        axis.set_xscale("log")
        axis.axhline(1, color="#999999", linewidth=0.8)
        axis.set_ylim(-0.3, 1.5)
    axes[0].set_ylabel("faithfulness")
    lines, words = axes[0].get_legend_handles_labels()
    fig.legend(lines, words, loc="outside lower center", ncols=4, fontsize=7)  # no corner of a panel is free
    caption = "Share of what the model does (logit difference) that the kept nodes do, the rest ablated; 1: the model."
    return save_figure(run, fig, "faithfulness", caption)
