"""Figures of the one-way code, from the measured results.

Axis glossary: as in `toy.one_way.study`.
"""

from __future__ import annotations

from eval.report.figures import COLOURS, SavedFigure, figure, save_figure
from eval.runs import Run
from toy.one_way.results import OneWayResult
from toy.one_way.study import GIVEN, KINDS


def draw(run: Run, found: OneWayResult) -> dict[str, SavedFigure]:
    """Probe accuracy by layer, one panel per set of primes."""
    sets = found.varying
    fig, axes = figure(1, len(sets), width=2.7 * len(sets) + 2.2, height=3.2, sharey=True, squeeze=False)
    for axis, entry in zip(axes[0], sets, strict=True):
        for colour, (given, kind) in zip(COLOURS, [(g, k) for g in GIVEN for k in KINDS], strict=False):
            cells = sorted(
                (c for c in entry.cells if (c.given, c.kind, c.task) == (given, kind, "x")),
                key=lambda c: c.layer,
            )
            axis.errorbar(
                [c.layer + 1 for c in cells],
                [c.accuracy[-1] for c in cells],
                [1.96 * (c.standard_error[-1] or 0.0) for c in cells],
                marker="o",
                markersize=3.5,
                color=colour,
                label=f"{kind}, {given}",
            )
        axis.axhline(entry.ceiling, color="#000000", linestyle="--", linewidth=1, label="Bayes ceiling from y")
        axis.axhline(entry.chance, color="#999999", linestyle=":", label="chance")
        axis.set_title(f"p in {{{', '.join(map(str, entry.primes))}}}")
        axis.set_xlabel(f"layer ({found.layers}: logits)")
        axis.set_ylim(0, 1.03)
    axes[0][0].set_ylabel("held-out accuracy for x")
    axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption = f"Probes of {found.budgets[-1]} steps on held-out (p, g, x); {found.seeds} networks per set."
    return {"probes": save_figure(run, fig, "one-way-probes", caption)}
