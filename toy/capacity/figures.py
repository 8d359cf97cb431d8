"""Figures of coding theory, from the measured results.

Axis glossary: as in `toy.capacity.experiment`.
"""

from __future__ import annotations

from typing import Any

from eval.report.figures import COLOURS, SavedFigure, figure, save_figure
from eval.runs import Run


def draw(run: Run, results: dict[str, Any]) -> dict[str, SavedFigure]:
    """Fig. 2b, c, the simulated cascades, and the width that correction needs."""
    return {
        "depth": _depth(run, results["depth"]),
        "cascade": _cascade(run, results["cascade"]),
        "widths": _widths(run, results["widths"]),
    }


def _depth(run: Run, rows: list[dict[str, Any]]) -> SavedFigure:
    fig, (left, right) = figure(1, 2, width=7.6, height=3.0, sharey=True)
    for colour, row in zip(COLOURS, rows, strict=False):
        label = f"D={row['dropout']:g}"
        left.plot(row["layers"], row["uncorrected"], color=colour, label=label)
        left.plot(row["layers"], row["uncorrected_exact"], ":", color=colour)
        right.plot(row["layers"], row["corrected"], color=colour, label=label)
    left.set_title("Without correction: C(1-D)ᴺ; dotted: exact")
    right.set_title("With correction: C(1-D), in the limit of width")
    left.set_ylabel(f"bits of one neuron, C={rows[0]['bits']}")
    for axis in (left, right):
        axis.set_xlabel("layers N")
        axis.legend()
    caption = "Marshall & Kirchner Fig. 2b, c. Dotted: exact capacity when an erased neuron looks like a silent one."
    return save_figure(run, fig, "capacity-depth", caption)


def _cascade(run: Run, cascade: dict[str, Any]) -> SavedFigure:
    fig, (left, right) = figure(1, 2, width=7.6, height=3.0)
    for axis, name, title in (
        (left, "surviving", "Uncoded: symbols that survive"),
        (right, "failed", "Re-encoded: messages lost"),
    ):
        axis.plot(cascade["layers"], cascade[f"{name}_law"], color=COLOURS[1], label="law")
        axis.errorbar(
            cascade["layers"],
            cascade[name],
            [3 * error for error in cascade[f"{name}_error"]],
            fmt=".",
            color=COLOURS[0],
            label="simulated, 3 standard errors",
        )
        axis.set_title(title)
        axis.set_xlabel("layers N")
        axis.legend()
    caption = (
        f"Reed-Solomon code, m={cascade['width']}, k={cascade['message']}, D={cascade['dropout']:g}, "
        f"{cascade['trials']} cascades."
    )
    return save_figure(run, fig, "capacity-cascade", caption)


def _widths(run: Run, widths: dict[str, Any]) -> SavedFigure:
    fig, axis = figure(width=5.6, height=3.0)
    axis.semilogx(widths["widths"], widths["exact"], ".", color=COLOURS[0], label="exact (binomial tail)")
    axis.semilogx(widths["widths"], widths["normal"], color=COLOURS[1], label="m(1-D) - √(mD(1-D)) Q⁻¹(ε)")
    axis.axhline(1 - widths["dropout"], color="#999999", linestyle=":", label="1-D")
    axis.set_xlabel("width m")
    axis.set_ylabel("message symbols per neuron")
    axis.legend()
    return save_figure(run, fig, "capacity-width", "What one re-encoding layer carries at a failure rate of .01.")
