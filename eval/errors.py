"""The one exception that a command turns into a single line, and nearest-name suggestions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend. The text says *expected, got, do this* in one line.

    Commands print it as `error: <text>` and exit with status 2; the API raises it as it is.
    """


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names closest to `name`, as a phrase to append to an error.

    Returns `"did you mean a, b?"`, or `"known: a, b, ..."` (at most eight) where nothing is close, or `""` where
    nothing is known.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    if not names:
        return ""
    tail = ", ..." if len(names) > 8 else ""
    return f"known: {', '.join(names[:8])}{tail}"


def known_name(name: str, known: Iterable[str], what: str) -> str:
    """`name` itself where it is known, else a `UserError` that names the nearest ones."""
    names = list(known)
    if name in names:
        return name
    raise UserError(f"unknown {what} {name!r}: {nearest(name, names)}")
