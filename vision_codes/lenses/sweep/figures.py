"""Figures 3 to 6 from a sweep: every curve a mean over seeds with its 95% interval."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from eval.report.figures import COLOURS, SavedFigure, drawn, figure, interval_line, save_figure
from eval.runs import Run
from eval.scores import Score
from vision_codes.lenses.projections.figures import draw_trajectories
from vision_codes.lenses.sweep.networks import exponent, value_of
from vision_codes.lenses.sweep.seeds import over_seeds

if TYPE_CHECKING:
    from vision_codes.lenses.sweep.collected import Sweep

Read = Callable[[Any], float | None]


def by_depth(groups: Sequence[Sequence[Any]], read: Read) -> list[Score]:
    """One ``Score`` per site over the seeds' rows."""
    return [over_seeds(read(row) for row in rows) for rows in zip(*groups, strict=True)]


def by_depth_log(groups: Sequence[Sequence[Any]], read: Read) -> list[Score]:
    """The same for positive numbers on a log axis: geometric means, with the interval of the logarithms."""

    def log(row: Any) -> float | None:
        value = read(row)
        return float(np.log(value)) if value else None

    def exponential(value: float | None) -> float | None:
        return None if value is None else float(np.exp(value))

    scores = by_depth(groups, log)
    return [Score(exponential(s.value), exponential(s.low), exponential(s.high), s.n, s.reason) for s in scores]


def draw(run: Run, sweep: Sweep) -> dict[str, SavedFigure]:
    """Every figure of a sweep by name; one that cannot be drawn is left empty with its reason, the others go on."""
    figures: dict[str, Callable[[Run, Sweep], SavedFigure]] = {
        "figure_3c": alpha_by_depth,
        "figure_4d": scatter,
        "figure_5": spectra_by_dropout,
        "figure_6": dropout_by_depth,
        "training": training_curves,
    }
    for dropout in sweep.dropouts:
        if sweep.drawn(dropout):
            figures[f"figure_4_dropout_{dropout:g}"] = functools.partial(trajectories, dropout=dropout)
    return {name: drawn(functools.partial(_named, name, one), run, sweep)[name] for name, one in figures.items()}


def _named(name: str, one: Callable[[Run, Sweep], SavedFigure], run: Run, sweep: Sweep) -> dict[str, SavedFigure]:
    return {name: one(run, sweep)}


def trajectories(run: Run, sweep: Sweep, dropout: float) -> SavedFigure:
    """Fig. 4: one random projection of the moving dot by depth, for the first seed."""
    return draw_trajectories(run, sweep.drawn(dropout), f"figure_4_dropout_{dropout:g}")


def alpha_by_depth(run: Run, sweep: Sweep) -> SavedFigure:
    """Fig. 3c: alpha by depth at dropout 0, beside its controls."""
    fig, (left, right) = figure(1, 2, width=9.5, height=3.4, sharey=True)
    networks, fresh = sweep.analysed(0.0), sweep.untrained()
    trained, untrained = ([item.spectra for item in items] for items in (networks, fresh))
    scrambled = [item.spectra_phase_scrambled for item in networks]
    random, untrained_random = ([item.spectra_random for item in items] for items in (networks, fresh))
    layers = [row.layer for row in (trained or untrained)[0]]
    curves: list[tuple[Any, str, list, Any]] = [
        (left, "trained, corrected", trained, exponent),
        (left, "trained, as measured", trained, value_of("alpha")),
        (left, "untrained, corrected", untrained, exponent),
        (right, "images, as measured", trained, value_of("alpha")),
        (right, "phase-scrambled images", scrambled, value_of("alpha")),
        (right, "random images", random, value_of("alpha")),
        (right, "untrained, random images", untrained_random, value_of("alpha")),
    ]
    for number, (axis, label, rows, read) in enumerate(curves):
        if rows:
            style = {"label": label, "colour": COLOURS[number % len(COLOURS)]}
            dashed = "--" if label == "trained, as measured" else "-"  # it may hide the corrected curve
            interval_line(axis, layers, by_depth(rows, read), linestyle=dashed, **style)
    for axis, title in ((left, "dropout 0"), (right, "controls (as measured)")):
        axis.axhline(-1, color="black", linewidth=0.8, linestyle=":")
        axis.set(xlabel="ReLU site", title=title)
        axis.legend(fontsize=6)
    left.set_ylabel("alpha")
    return save_figure(run, fig, "figure_3c", "Fig. 3c: alpha by depth; mean over seeds with 95% interval")


def spectra_by_dropout(run: Run, sweep: Sweep) -> SavedFigure:
    """Fig. 3b and 5: log-log spectra at an early, a middle and the last site, one curve per dropout and seed."""
    names = sweep.site_names()
    chosen = [names[i] for i in sorted({0, len(names) // 4, len(names) // 2, len(names) - 1})]
    fig, axes = figure(1, len(chosen), width=3.0 * len(chosen), height=3.0, squeeze=False)
    for axis, site in zip(axes[0], chosen, strict=True):
        for colour, dropout in zip(COLOURS, sweep.dropouts, strict=False):
            for number, values in enumerate(sweep.eigenvalues(dropout, site)):
                shown = values[: min(len(values), 1000)]
                shown = shown[shown > 1e-8 * shown[0]] / values.sum()
                label = f"dropout {dropout:g}" if number == 0 else None
                axis.loglog(np.arange(1, len(shown) + 1), shown, color=colour, linewidth=0.9, label=label)
        axis.axvspan(10, 50, color="#dddddd", zorder=0)
        axis.set(title=site, xlabel="index")
    axes[0, 0].set_ylabel("share of variance")
    axes[0, 0].legend()
    return save_figure(run, fig, "figure_5", "Fig. 5: spectra by dropout (one curve per seed; fitted range shaded)")


def dropout_by_depth(run: Run, sweep: Sweep) -> SavedFigure:
    """Fig. 6a-d: alpha, action, explained variance by depth, one curve per dropout; step size for Fig. 5."""
    panels: list[tuple[str, str, Any]] = [
        ("spectra", "alpha (corrected)", exponent),
        ("spectra", "largest step of the spectrum", value_of("largest_step")),
        ("dot", "action", value_of("action")),
        ("dot", "action / variance", value_of("action_per_trace")),
        ("dot", "R^2 of (cos, sin)", value_of("explained_coordinates")),
        ("dot", "R^2 of the pixels", value_of("explained_pixels")),
    ]
    fig, axes = figure(2, 3, width=10.5, height=5.8)
    for axis, (kind, title, read) in zip(axes.ravel(), panels, strict=True):
        summarise = by_depth_log if title.startswith("action") else by_depth
        for colour, dropout in zip(COLOURS, sweep.dropouts, strict=False):
            rows = [getattr(item, kind) for item in sweep.analysed(dropout)]
            if rows:
                layers = [row.layer for row in rows[0]]
                interval_line(axis, layers, summarise(rows, read), label=f"dropout {dropout:g}", colour=colour)
        rows = [getattr(item, kind) for item in sweep.untrained()]
        if rows:
            layers = [row.layer for row in rows[0]]
            interval_line(axis, layers, summarise(rows, read), label="untrained", colour=COLOURS[6], linestyle=":")
        axis.set(title=title, xlabel="ReLU site")
        if title.startswith("action"):
            axis.set_yscale("log")
    axes[0, 0].axhline(-1, color="black", linewidth=0.8, linestyle=":")
    axes[1, 1].legend(fontsize=6, loc="upper left")  # R^2 rises with depth: this corner is empty
    return save_figure(
        run, fig, "figure_6", "Fig. 6: by depth and dropout; mean over seeds (action: geometric) with 95% interval"
    )


def scatter(run: Run, sweep: Sweep) -> SavedFigure:
    """Fig. 4d, 6c, 6d: action against alpha, explained variance against action, and slopes against 3 - |alpha|."""
    fig, axes = figure(1, 3, width=10.5, height=3.3)
    for colour, dropout in zip(COLOURS, sweep.dropouts, strict=False):
        for number, item in enumerate(sweep.analysed(dropout)):
            label = f"dropout {dropout:g}" if number == 0 else None
            style: dict[str, Any] = {"color": colour, "s": 10, "alpha": 0.7, "label": label, "linewidths": 0}
            pairs = zip(item.spectra, item.dot, strict=True)
            moving = [(exponent(a), b) for a, b in pairs if b.moves and exponent(a)]
            axes[0].scatter([a for a, _ in moving], [b.action.value for _, b in moving], **style)
            per_trace = [b.action_per_trace for _, b in moving]
            axes[1].scatter(per_trace, [b.explained_coordinates for _, b in moving], **style)
            known = [(value_of("trajectory_alpha")(b), b.refinement_slope) for _, b in moving]
            known = [(alpha, slope) for alpha, slope in known if alpha is not None and slope is not None]
            axes[2].scatter([alpha for alpha, _ in known], [slope for _, slope in known], **style)
    line = np.linspace(-5, -1, 50)
    axes[2].plot(line, np.maximum(0, 3 + line), color="black", linewidth=0.8, label="max(0, 3 - |alpha|)")
    axes[0].set(xlabel="alpha of images (corrected)", title="action (Fig. 4d, 6c)", yscale="log")
    axes[1].set(xlabel="action / variance", title="R^2 of (cos, sin) (Fig. 6d)", xscale="log")
    axes[1].xaxis.set_minor_formatter(NullFormatter())
    axes[1].xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes[2].set(xlabel="alpha of the dot's own code", title="d log action / d log frames")
    for axis in axes:
        axis.legend(fontsize=6)
    return save_figure(run, fig, "figure_4d", "Every site of every network: action, explained variance, smoothness")


def training_curves(run: Run, sweep: Sweep) -> SavedFigure:
    """Validation loss of every run."""
    fig, axis = figure(width=6, height=3)
    for colour, dropout in zip(COLOURS, sweep.dropouts, strict=False):
        for number, history in enumerate(sweep.histories(dropout)):
            epochs = [record.epoch for record in history]
            label = f"dropout {dropout:g}" if number == 0 else None
            axis.plot(epochs, [record.validation_loss for record in history], color=colour, label=label)
    axis.set(xlabel="epoch", ylabel="validation loss", title="one curve per seed")
    axis.legend()
    return save_figure(run, fig, "training", "Validation loss (squared error + weighted KL) by epoch")
