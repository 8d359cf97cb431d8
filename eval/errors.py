"""The exceptions that a command turns into a single line and an exit status, and nearest-name suggestions.

UserError        2    an input that cannot be
StoppedError     3    stopped on the way: a quota, too many failures, memory, the disk, a lost run folder
IncompleteError  4    went to the end, and something asked for is missing
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OneLineError(Exception):
    """A failure whose text says everything in one line. Commands print it as `error: <text>` and exit with
    `exit_status`; the API raises it as it is."""

    exit_status = 2


class UserError(OneLineError):
    """Something the user can mend. The text says *expected, got, do this*."""

    exit_status = 2


class StoppedError(OneLineError):
    """The work was stopped before its end; what was finished is kept. The text says why and how to go on."""

    exit_status = 3


class BudgetReachedError(StoppedError):
    """What may be spent is spent. A run that stops on what it shows ends here with what it has."""


class LostFolderError(StoppedError):
    """The run folder was removed, renamed or taken by another process: nothing more can be kept."""


class IncompleteError(OneLineError):
    """The work went to its end, and something that was asked for is missing. The text names it."""

    exit_status = 4


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
