"""A figure never ends a run: a panel that cannot be drawn is left empty, with the reason in its place.

What is caught is what drawing raises (a logarithm of nothing positive, shapes that do not fit, an empty selection); a
full disk, memory and errors that are one line already go on, because they are not about the figure.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from eval.errors import OneLineError
from eval.progress import say

Drawn = TypeVar("Drawn")
NOT_OF_THE_FIGURE = (OneLineError, OSError, MemoryError)
NOTHING_POSITIVE = "no positive value to draw on a logarithmic axis"


def empty_panel(axis: Any, reason: str) -> None:
    """Clear an axis and write the reason where the drawing would be; its title stays."""
    title = axis.get_title()
    axis.clear()
    axis.set_xscale("linear")
    axis.set_yscale("linear")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title)
    axis.text(0.5, 0.5, f"not drawn: {reason}", ha="center", va="center", wrap=True, transform=axis.transAxes)


@contextmanager
def panel(axis: Any) -> Iterator[None]:
    """Draw one panel within the block; if that fails the panel is left empty with the reason and the others go on."""
    try:
        yield
    except NOT_OF_THE_FIGURE:
        raise
    except Exception as error:
        reason = reason_of(error)
        say(f"warning: a panel was left empty: {reason}")
        empty_panel(axis, reason)


def reason_of(error: Exception) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def empty_what_cannot_be_drawn(fig: Figure, name: str) -> None:
    """Leave every panel of `fig` empty that has nothing positive for its logarithmic axis, or that raises."""
    for axis in fig.axes:
        reason = NOTHING_POSITIVE if _lacks_positive_values(axis) else _failure(fig, axis)
        if reason is not None:
            say(f"warning: figure {name}: a panel was left empty: {reason}")
            empty_panel(axis, reason)


def _lacks_positive_values(axis: Any) -> bool:
    for direction, get in (("x", "get_xdata"), ("y", "get_ydata")):
        if getattr(axis, f"get_{direction}scale")() != "log":
            continue
        values = [np.asarray(getattr(line, get)(), dtype=float).ravel() for line in axis.lines]
        column = 0 if direction == "x" else 1
        scattered = [dots for dots in axis.collections if isinstance(dots, PathCollection)]  # a mesh has no offsets
        values += [np.ma.getdata(dots.get_offsets())[:, column].astype(float) for dots in scattered]
        found = np.concatenate(values) if values else np.zeros(0)
        if len(found) and not (np.isfinite(found) & (found > 0)).any():
            return True
    return False


def _failure(fig: Figure, axis: Any) -> str | None:
    """What drawing this axis alone raises, in one line."""
    renderer = fig.canvas.get_renderer()  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            axis.draw(renderer)
    except NOT_OF_THE_FIGURE:
        raise
    except Exception as error:
        return reason_of(error)
    return None


class Undrawn(dict[str, Drawn]):
    """Figures by name; a name that was not drawn gives the stand-in."""

    def __init__(self, found: Mapping[str, Drawn], stand_in: Callable[[str], Drawn]) -> None:
        super().__init__(found)
        self._stand_in = stand_in

    def __missing__(self, name: str) -> Drawn:
        return self._stand_in(name)
