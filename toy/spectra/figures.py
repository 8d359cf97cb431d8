"""Figures of the spectra of known codes."""

from __future__ import annotations

import numpy as np

from eval.report.figures import COLOURS, SavedFigure, figure, save_figure
from eval.runs import Run
from toy.spectra.results import ToySpectraResult


def draw(run: Run, found: ToySpectraResult) -> dict[str, SavedFigure]:
    """Spectra, and the three measures against sparsity."""
    fig, (left, right) = figure(1, 2, width=7.6, height=3.0)
    for colour, row in zip(COLOURS, found.models, strict=False):
        values = np.array(row.eigenvalues) / sum(row.eigenvalues)
        style = "--" if row.model == "untrained" else "-"
        left.loglog(
            np.arange(1, len(values) + 1), values, style, color=colour, label=f"{row.model}, S={row.sparsity:g}"
        )
    left.set_xlabel("index")
    left.set_title("Share of variance")
    left.legend()
    trained = [row for row in found.models if row.model == "trained"]
    x = [f"{row.sparsity:g}" for row in trained]
    ratios = [(row.participation_ratio.value or np.nan) / found.n_hidden for row in trained]
    right.plot(x, ratios, "o-", label="participation ratio / m")
    right.plot(x, [row.action_per_trace for row in trained], "s-", label="action / trace")
    right.plot(x, [row.distinct_codes for row in trained], "^-", label="distinct codes / inputs")
    right.set_xlabel("sparsity S")
    right.legend()
    caption = f"Superposition models, n={found.n_features}, m={found.n_hidden}: spectrum, action, spline codes."
    return {"spectra": save_figure(run, fig, "toy-spectra", caption)}
