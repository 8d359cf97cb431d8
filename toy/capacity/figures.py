"""Figures of coding theory, from the measured results.

Axis glossary: as in `toy.capacity.study`.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.figures import COLOURS, SavedFigure, figure, save_figure
from eval.runs import Run
from toy.capacity.results import CapacityResult, Cascade, DepthCurve, FiniteWidth


def draw(run: Run, found: CapacityResult) -> dict[str, SavedFigure]:
    """Fig. 2b, c, the simulated cascades, and the width that correction needs."""
    return {
        "depth": _depth(run, found.depth),
        "cascade": _cascade(run, found.cascade),
        "widths": _widths(run, found.widths),
    }


def _depth(run: Run, rows: Sequence[DepthCurve]) -> SavedFigure:
    sizes = list(dict.fromkeys(row.bits for row in rows))
    fig, axes = figure(1, len(sizes) + 1, width=2.7 * (len(sizes) + 1), height=3.0)
    for axis, bits in zip(axes, sizes, strict=False):
        for colour, row in zip(COLOURS, [row for row in rows if row.bits == bits], strict=False):
            axis.plot(row.layers, row.uncorrected, color=colour, label=f"D={row.dropout:g}")
            axis.plot(row.layers, row.uncorrected_exact, ":", color=colour)
        axis.set_title(f"No correction, C={bits} bits")
    for colour, row in zip(COLOURS, [row for row in rows if row.bits == sizes[0]], strict=False):
        axes[-1].plot(row.layers, row.corrected, color=colour, label=f"D={row.dropout:g}")
    axes[-1].set_title(f"With correction, C={sizes[0]} bits")
    axes[-1].set_ylim(0)
    axes[0].set_ylabel("bits of one neuron")
    for axis in axes:
        axis.set_xlabel("layers N")
        axis.set_xticks(range(0, max(rows[0].layers) + 1, 5))
    axes[0].legend()
    caption = (
        "Marshall & Kirchner Fig. 2b, c: C(1-D)^N without correction, C(1-D) with it (in the limit of width). Dotted: "
        "exact capacity when an erased neuron looks like a silent one; it matters for few bits."
    )
    return save_figure(run, fig, "capacity-depth", caption)


def _cascade(run: Run, cascade: Cascade) -> SavedFigure:
    fig, (left, right) = figure(1, 2, width=7.6, height=3.0)
    for axis, name, title in (
        (left, "surviving", "Uncoded: symbols that survive"),
        (right, "failed", "Re-encoded: messages lost"),
    ):
        axis.plot(cascade.layers, getattr(cascade, f"{name}_law"), color=COLOURS[1], label="law")
        axis.errorbar(
            cascade.layers,
            getattr(cascade, name),
            [3 * error for error in getattr(cascade, f"{name}_error")],
            fmt=".",
            color=COLOURS[0],
            label="simulated, 3 standard errors",
        )
        axis.set_title(title)
        axis.set_xlabel("layers N")
        axis.legend()
    caption = (
        f"Reed-Solomon code, m={cascade.width}, k={cascade.message}, D={cascade.dropout:g}, {cascade.trials} cascades."
    )
    return save_figure(run, fig, "capacity-cascade", caption)


def _widths(run: Run, widths: FiniteWidth) -> SavedFigure:
    fig, axis = figure(width=5.6, height=3.0)
    axis.semilogx(widths.widths, widths.exact, ".", color=COLOURS[0], label="exact (binomial tail)")
    axis.semilogx(widths.widths, widths.normal, color=COLOURS[1], label="m(1-D) - √(mD(1-D)) Q⁻¹(ε)")
    axis.axhline(1 - widths.dropout, color="#999999", linestyle=":", label="1-D")
    axis.set_xlabel("width m")
    axis.set_ylabel("message symbols per neuron")
    axis.legend()
    return save_figure(run, fig, "capacity-width", "What one re-encoding layer carries at a failure rate of .01.")
