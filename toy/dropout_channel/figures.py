"""Figures of the dropout channel, from the measured results.

Axis glossary: as in `toy.dropout_channel.study`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.report.figures import COLOURS, SavedFigure, figure, save_figure
from eval.runs import Run
from toy.dropout_channel.results import DropoutChannelResult, SelfTest


def draw(run: Run, found: DropoutChannelResult) -> dict[str, SavedFigure]:
    """Information through depth; the self-tests of the estimators."""
    return {"depth": _depth(run, found), "self_tests": _self_tests(run, found.self_tests)}


def _depth(run: Run, found: DropoutChannelResult) -> SavedFigure:
    fig, axis = figure(width=6.6, height=3.4)
    depths = found.depths
    for colour, (name, curve) in zip(COLOURS, found.curves.items(), strict=False):
        mean, error = np.array(curve.mean), np.array([error or 0.0 for error in curve.standard_error])
        axis.errorbar(depths, mean, 1.96 * error, color=colour, marker="o", markersize=3.5, label=name)
    axis.plot(depths, found.uncorrected, "--", color=COLOURS[6], label="k(1-D)ᴺ⁺¹: no correction")
    axis.plot(depths, found.corrected, ":", color=COLOURS[6], label="min(k, m(1-D)): with correction")
    axis.axhline(found.bits, color="#999999", linewidth=0.8)
    axis.set_xlabel("layer N")
    axis.set_ylabel("bits about the message")
    axis.set_ylim(-0.1, found.bits * 1.05)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption = (
        f"{found.bits}-bit messages, width {found.width}, D={found.dropout:g} at every layer, "
        f"{found.seeds} networks per condition, {found.estimator} estimate; bars 95%."
    )
    return save_figure(run, fig, "dropout-channel-depth", caption)


def _self_tests(run: Run, rows: Sequence[SelfTest]) -> SavedFigure:
    fig, axis = figure(width=6.0, height=2.8)
    x = np.arange(len(rows))
    axis.bar(x - 0.2, [row.nats.value for row in rows], 0.4, color=COLOURS[0], label="correlated, true value 2")
    axis.bar(x + 0.2, [row.nats_shuffled for row in rows], 0.4, color=COLOURS[1], label="shuffled, true value 0")
    axis.axhline(2, color="#999999", linestyle=":")
    axis.set_xticks(x, [row.estimator for row in rows])
    axis.set_ylabel("nats")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return save_figure(run, fig, "information-self-tests", "Every estimator on Gaussians whose information is known.")
