"""Which patterns stand where: every token of some windows under every pattern a rule may speak of.

Axes: ``place`` (a position of a window, windows in a row), ``family`` (a choice of lags, or a number of leading
positions), ``pattern`` (numbered through all families), ``member`` (places of a pattern, patterns in a row).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from eval.explanation.rules.bits import HEADS
from eval.explanation.rules.rule import LAGS

LAG_SETS = tuple(tuple(lag for lag in range(LAGS) if mask >> lag & 1) for mask in range(1, 2**LAGS))
"""Every non-empty choice of lags: (0,), (1,), (0, 1), (2,), ..."""
RUNS = tuple(LAG_SETS.index(tuple(range(n))) for n in range(1, LAGS + 1))
"""The families of tokens in a row: one, two, three."""
LEAST = 3
"""A pattern of several tokens, or of an earlier one, counts from three occurrences on."""


@dataclass(frozen=True, eq=False)
class Contexts:
    """words: [code] distinct tokens as text. pattern: [family, place], -1 where none counts. size: places of each
    pattern. first, members: the places of pattern p are ``members[first[p] : first[p + 1]]``. family: of each pattern.
    codes: [pattern, lag], -1 for any token. head: leading positions a pattern speaks of, 0 for anywhere."""

    words: tuple[str, ...]
    pattern: Int[np.ndarray, "family place"]
    size: Int[np.ndarray, " pattern"]
    first: Int[np.ndarray, " edge"]
    members: Int[np.ndarray, " member"]
    family: Int[np.ndarray, " pattern"]
    codes: Int[np.ndarray, "pattern lag"]
    head: Int[np.ndarray, " pattern"]
    keys: tuple[Int[np.ndarray, " key"], ...]
    starts: tuple[int, ...]

    def locate(self, codes: Int[np.ndarray, "window position"]) -> Int[np.ndarray, "family place"]:
        """The patterns at every place of other windows (in these codes; -1 for a token never seen)."""
        found = []
        for family, known in enumerate(self.keys):
            key = _keys(codes, family, len(self.words))
            place = np.minimum(np.searchsorted(known, key), max(len(known) - 1, 0))
            hit = (known[place] == key) & (key >= 0) if len(known) else np.zeros(len(key), dtype=bool)
            found.append(np.where(hit, place + self.starts[family], -1))
        return np.stack(found).astype(np.int32)


def _keys(codes: Int[np.ndarray, "window position"], family: int, base: int) -> Int[np.ndarray, " place"]:
    """One number for what a family sees at each place; -1 where it sees nothing."""
    if family >= len(LAG_SETS):
        inside = np.arange(codes.shape[1]) < HEADS[family - len(LAG_SETS)]
        return np.broadcast_to(np.where(inside, 0, -1), codes.shape).ravel()
    key = np.zeros(codes.shape, dtype=np.int64)
    whole = np.ones(codes.shape, dtype=bool)
    for lag in LAG_SETS[family]:
        before = np.full(codes.shape, -1, dtype=np.int64)
        before[:, lag:] = codes[:, : codes.shape[1] - lag]
        whole &= before >= 0
        key = key * base + before
    return np.where(whole, key, -1).ravel()


def contexts_of(codes: Int[np.ndarray, "window position"], words: tuple[str, ...]) -> Contexts:
    """The patterns of these windows, numbered."""
    pattern, codes_of, family_of, head_of, keys, starts = [], [], [], [], [], []
    n = 0
    for family in range(len(LAG_SETS) + len(HEADS)):
        key = _keys(codes, family, len(words))
        known, count = np.unique(key[key >= 0], return_counts=True)
        known = known[count >= (1 if family == 0 else LEAST)]
        place = np.minimum(np.searchsorted(known, key), max(len(known) - 1, 0))
        hit = (known[place] == key) & (key >= 0) if len(known) else np.zeros(len(key), dtype=bool)
        pattern.append(np.where(hit, place + n, -1))
        keys.append(known)
        starts.append(n)
        codes_of.append(_unpacked(known, family, len(words)))
        family_of.append(np.full(len(known), family))
        head = HEADS[family - len(LAG_SETS)] if family >= len(LAG_SETS) else 0
        head_of.append(np.full(len(known), head))
        n += len(known)
    table = np.stack(pattern).astype(np.int32)
    first, members = _places(table, n)
    return Contexts(
        words=words,
        pattern=table,
        size=np.diff(first),
        first=first,
        members=members,
        family=np.concatenate(family_of),
        codes=np.concatenate(codes_of),
        head=np.concatenate(head_of),
        keys=tuple(keys),
        starts=tuple(starts),
    )


def _unpacked(keys: Int[np.ndarray, " key"], family: int, base: int) -> Int[np.ndarray, "key lag"]:
    out = np.full((len(keys), LAGS), -1, dtype=np.int64)
    if family < len(LAG_SETS):
        rest = keys.copy()
        for lag in reversed(LAG_SETS[family]):
            out[:, lag] = rest % base
            rest //= base
    return out


def _places(pattern: Int[np.ndarray, "family place"], n: int) -> tuple[np.ndarray, np.ndarray]:
    """(first member of each pattern and the end, members)."""
    family, place = np.nonzero(pattern >= 0)
    number = pattern[family, place]
    order = np.argsort(number, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(number, minlength=n))])
    return first.astype(np.int64), place[order].astype(np.int32)
