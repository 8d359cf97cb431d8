"""Figures of incidental polysemanticity, from the measured results.

Axis glossary: as in `toy.incidental.study`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.report.figures import COLOURS, SavedFigure, figure, save_figure
from eval.runs import Run
from toy.incidental.results import (
    DecayRate,
    IncidentalResult,
    Initialisation,
    Movie,
    NoiseNorm,
    PolysemanticCount,
    RowNorm,
)


def draw(run: Run, found: IncidentalResult) -> dict[str, SavedFigure]:
    """The four results, one figure each, and the first and last frame of the slider's model."""
    return {
        "counts": _counts(run, found.counts),
        "row": _row(run, found.row),
        "rates": _rates(run, found.rates),
        "noise": _noise(run, found.noise),
        "initialisation": _initialisation(run, found.initialisation),
        "weights": _weights(run, found.movie),
    }


def _counts(run: Run, counts: Sequence[PolysemanticCount]) -> SavedFigure:
    fig, axis = figure(width=6.4, height=3.2)
    x = np.arange(len(counts))
    means, bars = [c.mean.value for c in counts], [1.96 * (c.standard_error or 0.0) for c in counts]
    axis.bar(x, means, 0.5, color=COLOURS[5], label="measured, mean over seeds")
    axis.errorbar(x, means, bars, fmt="none", color="#1c1f24")
    axis.plot(x, [c.occupancy for c in counts], "_", markersize=30, color=COLOURS[0], label="occupancy law")
    axis.plot(x, [c.leading_order for c in counts], "x", color=COLOURS[1], label="n²/4m (as printed)")
    names = [f"n={c.n_features}, m={c.n_hidden}\nconverged {c.converged:.1%}" for c in counts]
    axis.set_xticks(x, names)
    axis.set_ylabel("polysemantic neurons")
    axis.legend()
    caption = f"Neurons that carry two features, {counts[0].seeds} seeds per size; bars show 95% intervals."
    return save_figure(run, fig, "incidental-counts", caption)


def _row(run: Run, row: RowNorm) -> SavedFigure:
    fig, (left, right) = figure(1, 2, width=7.6, height=3.0)
    time = np.maximum(row.scaled_time, 1e-4)
    law = 1 / (row.n_hidden**-0.5 + np.asarray(row.scaled_time))
    left.loglog(time, row.l1_norm, label="measured, mean")
    left.loglog(time, law, "--", color=COLOURS[1], label="1 / (1/√m + λt)")
    left.loglog(time, row.survivors, color=COLOURS[2], label="weights not yet zero")
    left.set_xlabel("λt")
    left.set_title("L1 norm of one feature's weights")
    left.legend()
    right.fill_between(time, row.ratio_low, row.ratio_high, color=COLOURS[5], alpha=0.4, label="all rows")
    right.semilogx(time, row.ratio_mean, label="mean over rows")
    right.axhspan(0.85, 1.5, color="#999999", alpha=0.15, label="claimed band, .003 ≤ λt ≤ 1")
    right.axvline(0.003, color="#999999", linewidth=0.8)
    right.set_xlabel("λt")
    right.set_title("‖w‖₁ (1/√m + λt)")
    right.set_ylim(0.4, 2.6)
    right.legend(loc="upper left")
    caption = (
        f"Winner-take-all in a single row of m={row.n_hidden}, {row.seeds} seeds: the mean ranges over "
        f"[{row.mean_range[0]:.2f}, {row.mean_range[1]:.2f}], {row.rows_always_inside:.0%} of the single rows "
        "always stay in the band."
    )
    return save_figure(run, fig, "incidental-l1-decay", caption)


def _rates(run: Run, rates: Sequence[DecayRate]) -> SavedFigure:
    fig, axis = figure(width=4.6, height=3.0)
    for rate in rates:
        axis.loglog([rate.l1] * len(rate.by_seed), rate.by_seed, ".", color=COLOURS[0], alpha=0.6)
    axis.loglog([r.l1 for r in rates], [r.mean.value for r in rates], color=COLOURS[0], label="trained models, mean")
    axis.loglog([r.l1 for r in rates], [r.l1 for r in rates], "--", color=COLOURS[1], label="λ, the law")
    axis.set_xlabel("λ")
    axis.set_ylabel("growth of 1/‖w‖₁ a unit of time")
    axis.legend()
    caption = "How fast a feature's weights lose their L1 norm in trained models, .02 ≤ λt ≤ .1; dots: single models."
    return save_figure(run, fig, "incidental-rates", caption)


def _noise(run: Run, noises: Sequence[NoiseNorm]) -> SavedFigure:
    fig, axis = figure(width=6.4, height=3.2)
    for colour, row in zip(COLOURS, noises, strict=False):
        label = f"{row.noise} (excess kurtosis {row.excess_kurtosis:+.1f})"
        axis.plot(row.steps, row.fourth_norm, color=colour, label=label)
    axis.axhline(noises[0].isotropic, color="#999999", linestyle=":", label="isotropic, 3/(m+2)")
    axis.set_xlabel("SGD step")
    axis.set_ylabel("mean ‖w‖₄⁴")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return save_figure(
        run,
        fig,
        "incidental-noise",
        "Noise on the hidden layer, no L1: how concentrated the rows become, by excess kurtosis.",
    )


def _initialisation(run: Run, starts: Sequence[Initialisation]) -> SavedFigure:
    fig, axis = figure(width=6.4, height=3.0)
    width = 0.8 / len(starts)
    for index, start in enumerate(starts):
        ranks = np.arange(1, len(start.rank_histogram) + 1) + (index - (len(starts) - 1) / 2) * width
        label = f"{start.optimiser}: largest weight wins {start.kept.value:.0%}"
        axis.bar(ranks, start.rank_histogram, width, color=COLOURS[index], label=label)
    axis.axhline(starts[0].chance, color="#999999", linestyle=":", label="chance, 1/m")
    axis.set_xlabel("rank of the final winner among the initial |w|")
    axis.set_ylabel("share of features")
    axis.legend()
    return save_figure(
        run,
        fig,
        "incidental-initialisation",
        "Which of the initial weights of a feature ends as its only one (n=64, m=128).",
    )


def _weights(run: Run, movie: Movie) -> SavedFigure:
    picks = [0, len(movie.steps) // 2, len(movie.steps) - 1]
    fig, axes = figure(1, 3, width=7.6, height=2.0, sharey=True)
    for axis, pick in zip(axes, picks, strict=True):
        frame = np.reshape(movie.frames[pick], (movie.n, movie.m))
        axis.imshow(frame, cmap="RdBu", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        axis.set_title(f"step {movie.steps[pick]}")
        axis.grid(False)
        axis.set_xlabel("neuron")
    axes[0].set_ylabel("feature")
    return save_figure(run, fig, "incidental-weights", "One model's weights during training (blue +, red -).")
