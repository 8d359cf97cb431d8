"""Hamming distances of packed codes by the tile: the one kernel that all-pairs passes spend their time in.

Axis glossary: ``item`` coded inputs, padded to whole tiles, ``word`` 64 bits, ``tile`` groups of `TILE` items that
stand next to each other, ``pivot`` items that the others are sorted by.

Two items are compared with four at a time, so that a word is read once for several popcounts; the loop over words has
unit stride and unsigned bounds, which LLVM turns into vector popcounts wherever the processor has a way to do them.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from jaxtyping import Int, UInt64

from eval.measures.codes.popcount import distance_matrix, popcount
from eval.measures.compiled import compiled

TILE = 64
ROWS = 2  # items of one tile that are compared at once with another tile
FAR = np.int32(2**31 - 1)
SORTED_FROM = 8 * TILE
"""Fewer items are left in the order they came in: their tiles are too few for any to be passed over."""


@compiled()
def _count(a, i, b, first, low, high, out):
    """Differing bits in words low..high-1 of items i, i + 1 of `a` and the TILE items of `b` from `first` on."""
    one, two = a[i, low:high], a[i + 1, low:high]
    for q in range(0, TILE, 4):
        j = first + q
        c0, c1, c2, c3 = b[j, low:high], b[j + 1, low:high], b[j + 2, low:high], b[j + 3, low:high]
        s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = 0
        for w in range(one.shape[0]):
            v, u = one[w], two[w]
            s0 += popcount(v ^ c0[w])
            s1 += popcount(v ^ c1[w])
            s2 += popcount(v ^ c2[w])
            s3 += popcount(v ^ c3[w])
            t0 += popcount(u ^ c0[w])
            t1 += popcount(u ^ c1[w])
            t2 += popcount(u ^ c2[w])
            t3 += popcount(u ^ c3[w])
        out[0, q], out[0, q + 1], out[0, q + 2], out[0, q + 3] = s0, s1, s2, s3
        out[1, q], out[1, q + 1], out[1, q + 2], out[1, q + 3] = t0, t1, t2, t3


@compiled()
def tile_distances(a, i, b, first, symbol_word, out, halves):
    """Distances of items i, i + 1 of `a` to `TILE` items of `b`: `out [ROWS, TILE]`; `halves` is scratch space.

    From word `symbol_word` on a differing symbol sets two bits and counts once.
    """
    _count(a, i, b, first, 0, symbol_word, out)
    if symbol_word < a.shape[1]:
        _count(a, i, b, first, symbol_word, a.shape[1], halves)
        for r in range(ROWS):
            for q in range(TILE):
                out[r, q] += halves[r, q] >> 1


def padded(
    words: UInt64[np.ndarray, "item word"], order: Int[np.ndarray, " chosen"]
) -> UInt64[np.ndarray, "padded word"]:
    """A copy of the items in some order, with zero rows up to a whole number of tiles."""
    out = np.zeros((-(-len(order) // TILE) * TILE, words.shape[1]), dtype=np.uint64)
    np.take(words, order, axis=0, out=out[: len(order)], mode="clip")  # `raise` would make another copy
    return out


@compiled(parallel=True)
def _nearest_pivot(words, pivots, n_pivots, symbol_word, number, nearest, distance):
    for strip in numba.prange(words.shape[0] // ROWS):
        out, halves = np.empty((ROWS, TILE), np.int32), np.empty((ROWS, TILE), np.int32)
        for first in range(0, n_pivots, TILE):
            tile_distances(words, strip * ROWS, pivots, first, symbol_word, out, halves)
            for r in range(ROWS):
                i = strip * ROWS + r
                for q in range(min(TILE, n_pivots - first)):
                    if out[r, q] < distance[i]:
                        distance[i], nearest[i] = out[r, q], number + first + q


def locality_order(words: UInt64[np.ndarray, "item word"], symbol_word: int) -> Int[np.ndarray, " item"]:
    """An order of the items in which neighbours tend to lie in the same tile; any order is correct, this one is fast.

    Items are sorted by their nearest pivot, and the pivots into a chain that always goes to the nearest one not yet
    visited. About sqrt(n) items are pivots at first, then as many again from the quarter that is farthest from them.
    """
    n, spacing = len(words), math.isqrt(len(words))
    if n < SORTED_FROM:
        return np.arange(n)
    rows = words if n % ROWS == 0 else np.concatenate([words, words[-1:]])
    nearest, distance = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), FAR, dtype=np.int32)
    chosen = np.arange(0, n, spacing)
    _nearest_pivot(rows, padded(words, chosen), len(chosen), symbol_word, 0, nearest, distance)
    farthest = np.argsort(-distance[:n], kind="stable")[: n // 4 : max(1, spacing // 4)]
    _nearest_pivot(rows, padded(words, farthest), len(farthest), symbol_word, len(chosen), nearest, distance)
    pivots = words[np.concatenate([chosen, farthest])]
    between = distance_matrix(pivots, pivots, symbol_word)
    rank, here = np.full(len(pivots), -1), 0
    for place in range(len(pivots)):
        rank[here] = place
        here = int(np.where(rank < 0, between[here], FAR).argmin())
    return np.lexsort((distance[:n], rank[nearest[:n]]))
