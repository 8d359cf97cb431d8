"""Progress on stderr with rate and ETA; silent where stderr is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_hidden: list[bool] = [False]


def hide_bars() -> None:
    """No bars from this process on, terminal or not (worker processes, whose bars would overwrite each other)."""
    _hidden[0] = True


def _disable() -> bool | None:
    return True if _hidden[0] else None  # None: tqdm looks whether stderr is a terminal


def progress(items: Iterable[Item], *, label: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Iterate with a bar on stderr that shows rate and ETA, only on a terminal."""
    yield from tqdm(items, desc=label, total=total, unit=unit, file=sys.stderr, disable=_disable(), leave=False)


@contextmanager
def progress_bar(*, label: str, total: int | None, unit: str) -> Iterator[tqdm]:
    """A bar to advance by hand (`bar.update(n_tokens)`), for units other than items."""
    with tqdm(
        desc=label, total=total, unit=unit, unit_scale=True, file=sys.stderr, disable=_disable(), leave=False
    ) as bar:
        yield bar


def say(text: str) -> None:
    """One line for the person at the terminal (stderr); results never go here."""
    sys.stderr.write(text.rstrip("\n") + "\n")
    sys.stderr.flush()
