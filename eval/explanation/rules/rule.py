"""A rule: what an explanation without a language model says, and what it predicts for a window of tokens.

Axes: ``window``, ``position``, ``lag`` (0 the token itself, 1 the one before it, ...). Values lie on 0..10 of a unit's
largest activation. A rule knows tokens as text (`quoted`), since text is what is printed: two tokens that print alike
are one word. Lags do not reach back beyond a window.

| form | what a clause says | which clause counts |
|---|---|---|
| ``words`` | the unit fires on this token: 10 | elsewhere 0 |
| ``list`` | a token and its value | elsewhere 0 |
| ``back-off`` | a token, or two or three in a row | the longest that matches, else the rest's value |
| ``decision-list`` | tokens at any of the last three places, or a place near the head of the window | the first that matches |
| ``token-graph`` | as ``back-off``; printed, and priced, as a tree that grows backwards from the token | the longest |
| ``lag-weights`` | a weight for a token at a lag | the sum of all that match and the rest's value, kept within 0..10 |
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from eval.explanation.tokens import visible

FORMS = ("words", "list", "back-off", "decision-list", "token-graph", "lag-weights")
LAGS = 3
"""How far back a rule looks: the token itself and the two before it."""
FULL = 10.0
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""What level 10 of a rule may stand for: eleven values, so that it costs as much as a level."""


@lru_cache(maxsize=1 << 17)
def quoted(token: str) -> str:
    """A token as it stands between backticks in a printed rule."""
    return visible(token).replace("`", "\\`")


@dataclass(frozen=True)
class Clause:
    """words: [lag], ``None`` for any token. value: what it predicts, or adds (``lag-weights``). first: only there, at
    the first positions of a window; 0: anywhere."""

    words: tuple[str | None, ...]
    value: float
    first: int = 0


@dataclass(frozen=True)
class Rule:
    """form: a member of ``FORMS``. clauses: in the order that counts. rest: the value where no clause matches."""

    form: str
    clauses: tuple[Clause, ...]
    rest: float = 0.0

    def predict(self, windows: Sequence[Sequence[str]]) -> list[Float[np.ndarray, " position"]]:
        """Predicted values of every token of every window, given as text."""
        words, places = _coded(tuple(map(tuple, windows)))
        known = {word: place for place, word in enumerate(self._words(), start=1)}
        codes = np.array([0, *(known.get(word, 0) for word in words)], dtype=np.int64)[places]
        values = self._values(codes, known)
        return [values[row, : len(window)] for row, window in enumerate(windows)]

    @property
    def largest(self) -> float:
        """The largest value it can name."""
        return max([self.rest, *(clause.value for clause in self.clauses)])

    def _words(self) -> list[str]:
        return list(dict.fromkeys(word for clause in self.clauses for word in clause.words if word is not None))

    def _values(self, codes: Int[np.ndarray, "window position"], known: dict[str, int]) -> np.ndarray:
        out = np.full(codes.shape, self.rest)
        if self.form == "lag-weights":
            for clause in self.clauses:
                out[_matches(clause, codes, known)] += clause.value
            return np.clip(out, 0.0, FULL)
        clauses = self.clauses
        if self.form in ("back-off", "token-graph"):
            clauses = tuple(sorted(clauses, key=lambda clause: -len(clause.words)))
        for clause in reversed(clauses):  # an earlier clause overwrites a later one
            out[_matches(clause, codes, known)] = clause.value
        return out


@lru_cache(maxsize=64)
def _coded(
    windows: tuple[tuple[str, ...], ...],
) -> tuple[tuple[str, ...], Int[np.ndarray, "window position"]]:
    """(the distinct words, which of them stands where: 1, 2, ..., and 0 after a window's end). Kept, since every rule
    of a run is read on the same windows."""
    number: dict[str, int] = {}
    places = np.zeros((len(windows), max(map(len, windows), default=0)), dtype=np.int64)
    for row, window in enumerate(windows):
        places[row, : len(window)] = [number.setdefault(quoted(token), len(number) + 1) for token in window]
    places.flags.writeable = False
    return tuple(number), places


def _matches(
    clause: Clause, codes: Int[np.ndarray, "window position"], known: dict[str, int]
) -> Bool[np.ndarray, "window position"]:
    found = np.ones(codes.shape, dtype=bool)
    for lag, word in enumerate(clause.words):
        if word is not None:
            found[:, :lag] = False
            found[:, lag:] &= codes[:, : codes.shape[1] - lag] == known[word]
    if clause.first:
        found[:, clause.first :] = False
    return found


def in_levels(values: Sequence[float]) -> list[float]:
    """Values as a rule prints them: eleven levels of the largest, which is one of ``SCALES`` (signs are kept)."""
    largest = max((abs(value) for value in values), default=0.0)
    if not largest > 0:
        return [0.0 for _ in values]
    scale = min(SCALES, key=lambda one: abs(np.log(one / largest)))
    return [round(round(FULL * value / largest) * scale / FULL, 3) for value in values]
