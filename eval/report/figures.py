"""Figures a paper can use: one style, saved as PDF and PNG, and as inline SVG for the page.

No pyplot: figures are objects without global state, so a library call never leaks a window or a backend.
"""

from __future__ import annotations

import functools
import inspect
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import matplotlib
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eval.files import atomic_path
from eval.progress import say
from eval.report.undrawn import NOT_OF_THE_FIGURE, Undrawn, empty_panel, empty_what_cannot_be_drawn, reason_of
from eval.runs import Run

Given = ParamSpec("Given")
# Okabe-Ito: distinguishable with every common form of colour blindness, and in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A", "#000000")
MAXIMUM_SVG_BYTES = 600_000  # a denser figure is inlined as PNG: a page must open fast
STYLE: Any = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "font.size": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.dpi": 100,
    "svg.fonttype": "none",
    "svg.hashsalt": "neural-codes",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class SavedFigure:
    """A figure on disk and as markup for the page: `name`, `caption`, `paths` (PDF, PNG), `markup` (SVG or PNG)."""

    name: str
    caption: str
    paths: tuple[Path, ...]
    markup: str


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 3.2, **subplots: Any
) -> tuple[Figure, Any]:
    """A figure in the house style and its axes (an array where there are several), sizes in inches."""
    with matplotlib.rc_context(STYLE):
        fig = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(fig)
        axes = fig.subplots(rows, columns, **subplots)
    return fig, axes


def interval_line(
    axis: Any, x: Sequence[float], values: Sequence[Any], *, label: str, colour: str, **line: Any
) -> None:
    """A curve of `Score`s with their intervals as bars; undefined ones are marked at the bottom edge, not dropped."""
    defined = [(a, s) for a, s in zip(x, values, strict=True) if s.is_defined]
    style = {"marker": "o", "markersize": 3.5, **line}
    axis.plot([a for a, _ in defined], [s.value for _, s in defined], color=colour, label=label, **style)
    for a, score in defined:
        if score.low is not None and score.high is not None:
            axis.plot([a, a], [score.low, score.high], color=colour, linewidth=1.0, alpha=0.7)
    missing = [a for a, s in zip(x, values, strict=True) if not s.is_defined]
    if missing:
        transform = axis.get_xaxis_transform()
        axis.plot(missing, [0.02] * len(missing), "x", color=colour, transform=transform, label=f"{label}: undefined")


def save_figure(run: Run, fig: Figure, name: str, caption: str = "") -> SavedFigure:
    """Write `figures/<name>.pdf` and `.png` (200 dpi), return the figure with its inline markup.

    A panel that cannot be drawn is left empty with its reason (`eval.report.undrawn`); a figure of which nothing can be
    drawn is empty. Neither ends the run.
    """
    if not isinstance(fig.canvas, FigureCanvasAgg):  # what renders: a bare `Figure` has none
        FigureCanvasAgg(fig)
    empty_what_cannot_be_drawn(fig, name)
    try:
        return _save(run, fig, name, caption)
    except NOT_OF_THE_FIGURE:
        raise
    except Exception as error:
        return undrawn_figure(run, name, caption, reason_of(error))


def undrawn_figure(run: Run, name: str, caption: str, reason: str) -> SavedFigure:
    """An empty figure that says why it is empty, in the place of one that could not be drawn."""
    say(f"warning: figure {name} was left empty: {reason}")
    fig, axis = figure(height=1.2)
    empty_panel(axis, reason)
    return _save(run, fig, name, caption)


def drawing(draw: Callable[Concatenate[Run, Given], SavedFigure]) -> Callable[Concatenate[Run, Given], SavedFigure]:
    """Decorates `draw_something(run, ...)`: where it raises, the figure `something` is empty and says the reason.

    A figure whose name is the argument `name` has that one.
    """
    called = inspect.signature(draw)

    @functools.wraps(draw)
    def safe(run: Run, *arguments: Given.args, **options: Given.kwargs) -> SavedFigure:
        try:
            return draw(run, *arguments, **options)
        except NOT_OF_THE_FIGURE:
            raise
        except Exception as error:
            given = called.bind(run, *arguments, **options)
            given.apply_defaults()
            usual = draw.__name__.removeprefix("draw_").strip("_").replace("_", "-")
            return undrawn_figure(run, given.arguments.get("name", usual), "", reason_of(error))

    return safe


def drawn(draw: Callable[..., Mapping[str, SavedFigure]], run: Run, *arguments: Any) -> dict[str, SavedFigure]:
    """`draw(run, *arguments)`; where it raises, every figure that is asked for is an empty one with the reason."""
    try:
        return dict(draw(run, *arguments))
    except NOT_OF_THE_FIGURE:
        raise
    except Exception as error:
        reason = reason_of(error)
        return Undrawn({}, lambda name: undrawn_figure(run, name, "", reason))


def _save(run: Run, fig: Figure, name: str, caption: str) -> SavedFigure:
    paths = []
    with matplotlib.rc_context(STYLE):
        fig.draw_without_rendering()
        fig.set_layout_engine("none")  # laid out once: every format shows the same, and the solver is a third of a save
        formats: dict[str, Any] = {".pdf": {"metadata": {"CreationDate": None}}, ".png": {"dpi": 200}}
        for suffix, options in formats.items():
            path = run.path(f"figures/{name}{suffix}")
            if run.writes:
                with atomic_path(path) as temporary:
                    fig.savefig(temporary, format=suffix[1:], **options)
            paths.append(path)
        markup = inline_svg(fig, name)
        if len(markup) > MAXIMUM_SVG_BYTES:
            markup = inline_png(fig, caption or name)
    return SavedFigure(name, caption, tuple(paths), markup)


def inline_svg(fig: Figure, name: str) -> str:
    """The figure as an `<svg>` element; ids are made unique by the name so that several share one page."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        out = io.StringIO()
        fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(xlink:href="|href=")#', rf"\1#{prefix}-", svg)
    return re.sub(r"url\(#", f"url(#{prefix}-", svg)


def inline_png(fig: Figure, alternative: str) -> str:
    """The figure as an `<img>` with a data address."""
    import base64
    from html import escape

    out = io.BytesIO()
    fig.savefig(out, format="png", dpi=150)
    data = base64.b64encode(out.getvalue()).decode()
    return f'<img alt="{escape(alternative, quote=True)}" src="data:image/png;base64,{data}">'
