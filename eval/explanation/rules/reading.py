"""What rules are fitted on: windows of the explain documents with every unit's values, and the calibrate windows.

Axes: ``window``, ``position``, ``place`` (windows in a row).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from eval.errors import UserError
from eval.explanation.records import LEVELS, Book
from eval.explanation.rules.contexts import Contexts, contexts_of
from eval.explanation.rules.rule import quoted
from eval.explanation.windows import Windows


@dataclass(frozen=True, eq=False)
class Reading:
    """contexts: of the explain documents. calibrate: [family, place], the same patterns on the calibrate windows;
    edges, members: places of each pattern there."""

    contexts: Contexts
    calibrate: Int[np.ndarray, "family place"]
    edges: Int[np.ndarray, " edge"]
    members: Int[np.ndarray, " member"]


def reading_of(book: Book) -> Reading:
    """The patterns of a book's windows; made once for all books that share them.

    Raises `UserError` where the records were made without windows to fit on.
    """
    if not len(book.fitted_on):
        raise UserError(
            "expected records with windows to fit rules on, got none; record them with fit=windows of the explain set"
        )
    memory = book.windows.memory
    key = ("rules", book.fitted_on.tobytes(), book.shared["calibrate"].tobytes())
    if key not in memory:
        memory[key] = _read(book.windows, book.fitted_on, book.shared["calibrate"])
    return memory[key]


def _read(windows: Windows, fitted_on: np.ndarray, calibrate: np.ndarray) -> Reading:
    explained = _texts(windows, fitted_on)
    words = tuple(dict.fromkeys(word for row in explained for word in row))
    code = {word: place for place, word in enumerate(words)}
    contexts = contexts_of(np.array([[code[word] for word in row] for row in explained]), words)
    other = np.array([[code.get(word, -1) for word in row] for row in _texts(windows, calibrate)], dtype=np.int64)
    located = contexts.locate(other.reshape(len(calibrate), -1))
    family, place = np.nonzero(located >= 0)
    number = located[family, place]
    order = np.argsort(number, kind="stable")
    edges = np.concatenate([[0], np.cumsum(np.bincount(number, minlength=len(contexts.size)))])
    return Reading(contexts, located, edges.astype(np.int64), place[order].astype(np.int32))


def _texts(windows: Windows, numbers: np.ndarray) -> list[list[str]]:
    return [[quoted(token) for token in windows.words(int(number))[1]] for number in numbers]


def targets(book: Book, unit: int) -> tuple[Float[np.ndarray, " place"], Float[np.ndarray, " other"]]:
    """What the unit does, on 0..10, on the windows to fit on and on the calibrate windows."""
    factor = LEVELS / float(book.scale[unit])
    calibrate = book.unit_values("calibrate", unit).ravel()
    return factor * book.fit_values(unit).ravel().astype(np.float64), factor * calibrate.astype(np.float64)
