"""Exact nearest neighbours and closest pairs of packed codes, blocked, without a distance matrix.

Axis glossary: ``item`` coded inputs, ``word`` 64 bits, ``neighbour`` the k nearest others, ``component`` sets of items
that a spanning tree under construction has already joined.

Every pair of tiles of items is visited once, in the rounds of a round-robin tournament: within a round no tile plays
twice, so both tiles' neighbour lists can be updated in parallel without locks. A pair is given up as soon as its
distance so far exceeds what either item could still use. Both kernels read four codes at a time against one.
"""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import Float, Int, UInt64

from eval.measures.compiled import compiled
from eval.measures.popcount import popcount

TILE = 96
CHUNK = 24  # words between two looks at the bound
FAR = np.int32(2**31 - 1)


def tournament(n_tiles: int) -> Int[np.ndarray, "round game two"]:
    """Rounds of disjoint pairs of tiles that together hold every unordered pair once (circle method); -1 is a bye."""
    size = n_tiles + n_tiles % 2
    order = np.arange(size)
    rounds = np.empty((max(size - 1, 0), size // 2, 2), dtype=np.int64)
    for r in range(size - 1):
        rounds[r, :, 0], rounds[r, :, 1] = order[: size // 2], order[::-1][: size // 2]
        order = np.concatenate([order[:1], np.roll(order[1:], 1)])
    rounds[(rounds >= n_tiles).any(-1)] = -1
    return rounds


@compiled()
def _quad(words, i, j, symbol_word, bound, out):
    """Distances of item i to items j..j+3 into `out`; stops early once all four exceed their `bound`."""
    d0 = d1 = d2 = d3 = 0
    low = 0
    while low < symbol_word:
        high = min(low + CHUNK, symbol_word)
        for w in range(low, high):
            v = words[i, w]
            d0 += popcount(v ^ words[j, w])
            d1 += popcount(v ^ words[j + 1, w])
            d2 += popcount(v ^ words[j + 2, w])
            d3 += popcount(v ^ words[j + 3, w])
        low = high
        if d0 >= bound[0] and d1 >= bound[1] and d2 >= bound[2] and d3 >= bound[3]:
            break
    if low >= symbol_word and symbol_word < words.shape[1]:
        s0 = s1 = s2 = s3 = 0
        for w in range(symbol_word, words.shape[1]):
            v = words[i, w]
            s0 += popcount(v ^ words[j, w])
            s1 += popcount(v ^ words[j + 1, w])
            s2 += popcount(v ^ words[j + 2, w])
            s3 += popcount(v ^ words[j + 3, w])
        d0, d1, d2, d3 = d0 + (s0 >> 1), d1 + (s1 >> 1), d2 + (s2 >> 1), d3 + (s3 >> 1)
    out[0], out[1], out[2], out[3] = d0, d1, d2, d3


@compiled()
def _insert(distances, indices, i, j, d):
    """Put j into the sorted list of item i where d is below its largest."""
    last = distances.shape[1] - 1
    if d >= distances[i, last]:
        return
    place = last
    while place > 0 and distances[i, place - 1] > d:
        distances[i, place] = distances[i, place - 1]
        indices[i, place] = indices[i, place - 1]
        place -= 1
    distances[i, place] = d
    indices[i, place] = j


@compiled()
def _play(words, symbol_word, first, second, distances, indices):
    """All pairs of two tiles (or within one) into the neighbour lists."""
    n, last = words.shape[0], distances.shape[1] - 1
    bound = np.empty(4, dtype=np.int64)
    out = np.empty(4, dtype=np.int64)
    stop = min((second + 1) * TILE, n)
    for i in range(first * TILE, min((first + 1) * TILE, n)):
        j = i + 1 if first == second else second * TILE
        while j < stop:
            start = max(min(j, n - 4), 0)  # the last items of all are read again rather than past the end
            for q in range(4):
                bound[q] = max(distances[i, last], distances[start + q, last])
            _quad(words, i, start, symbol_word, bound, out)
            for q in range(j - start, min(4, stop - start)):
                if out[q] < bound[q]:
                    _insert(distances, indices, i, start + q, out[q])
                    _insert(distances, indices, start + q, i, out[q])
            j = start + 4


@compiled(parallel=True)
def _play_round(words, symbol_word, games, distances, indices):
    for g in numba.prange(games.shape[0]):
        if games[g, 0] >= 0:
            _play(words, symbol_word, games[g, 0], games[g, 1], distances, indices)


def nearest_codes(
    words: UInt64[np.ndarray, "item word"], symbol_word: int, k: int
) -> tuple[Int[np.ndarray, "item neighbour"], Int[np.ndarray, "item neighbour"]]:
    """The k nearest other items of each item and their Hamming distances, exactly.

    Returns:
        distances (int32, rising along `neighbour`) and indices. Which of several equally distant items comes k-th
        depends on the row order; the distances do not. k is cut to n - 1.
    """
    n = len(words)
    k = max(0, min(k, n - 1))
    distances = np.full((n, k), FAR, dtype=np.int32)
    indices = np.full((n, k), -1, dtype=np.int32)
    if k == 0:
        return distances, indices
    padded = np.ascontiguousarray(words)
    if n < 4:  # four codes are read at a time
        padded = np.concatenate([padded, np.zeros((4 - n, words.shape[1]), np.uint64)])
        return _small(padded, n, symbol_word, distances, indices)
    n_tiles = -(-n // TILE)
    tiles = np.arange(n_tiles)
    _play_round(padded, symbol_word, np.stack([tiles, tiles], 1), distances, indices)
    for games in tournament(n_tiles):
        _play_round(padded, symbol_word, games, distances, indices)
    return distances, indices


def _small(padded, n, symbol_word, distances, indices):
    """Two or three items."""
    bound, out = np.full(4, FAR, dtype=np.int64), np.empty(4, dtype=np.int64)
    for i in range(n):
        _quad(padded, i, 0, symbol_word, bound, out)
        for j in range(n):
            if j != i:
                _insert(distances, indices, i, j, out[j])
    return distances, indices


@compiled(parallel=True)
def _closest_pairs(words, symbol_word, members, starts, core, best, left, right):
    """Row c of `best` is filled by one thread only: its pairs with the later components."""
    n_components = starts.shape[0] - 1
    for c in numba.prange(n_components):
        bound = np.empty(4, dtype=np.int64)
        out = np.empty(4, dtype=np.int64)
        for other in range(c + 1, n_components):
            stop = starts[other + 1]
            for low in range(starts[other], stop, TILE):
                for i in range(starts[c], starts[c + 1]):
                    if core[i] >= best[c, other]:
                        break  # members are sorted by core distance: no later one can do better
                    j = low
                    high = min(low + TILE, stop)
                    while j < high and core[j] < best[c, other]:
                        start = max(min(j, words.shape[0] - 4), 0)
                        bound[:] = np.int64(min(best[c, other], float(FAR)))  # infinity has no integer
                        _quad(words, i, start, symbol_word, bound, out)
                        for q in range(j - start, min(4, high - start)):
                            weight = max(float(out[q]), core[i], core[start + q])
                            if weight < best[c, other]:
                                best[c, other] = weight
                                left[c, other] = members[i]
                                right[c, other] = members[start + q]
                        j = start + 4


@compiled(parallel=True)
def _nearest_outside(words, symbol_word, core, component, limit, weight, partner):
    """Lightest edge from each item to another component; `limit` (per component) only saves work, so races are safe."""
    n = words.shape[0]
    for tile in numba.prange((n + TILE - 1) // TILE):
        bound = np.empty(4, dtype=np.int64)
        out = np.empty(4, dtype=np.int64)
        for low in range(0, n, TILE):
            for i in range(tile * TILE, min((tile + 1) * TILE, n)):
                for start in range(low, min(low + TILE, n), 4):
                    first = max(min(start, n - 4), 0)
                    most = min(weight[i], limit[component[i]])
                    useful = False
                    for q in range(4):
                        j = first + q
                        usable = component[j] != component[i] and max(core[i], core[j]) < most
                        bound[q] = np.int64(most) if usable else 0
                        useful = useful or usable
                    if not useful:
                        continue
                    _quad(words, i, first, symbol_word, bound, out)
                    for q in range(4):
                        if out[q] < bound[q]:
                            found = max(float(out[q]), core[i], core[first + q])
                            if found < weight[i]:
                                weight[i], partner[i] = found, first + q
                                limit[component[i]] = min(limit[component[i]], found)


def nearest_outside(
    words: UInt64[np.ndarray, "item word"],
    symbol_word: int,
    core: Float[np.ndarray, " item"],
    component: Int[np.ndarray, " item"],
) -> tuple[Float[np.ndarray, " item"], Int[np.ndarray, " item"]]:
    """The lightest edge from each component to any other: weight and other end at (at least) the item that has it.

    Items that cannot improve on their component keep a weight of `maximum` and no partner (-1). Needs n >= 4.
    """
    maximum = float(2**31)
    weight, partner = np.full(len(words), maximum), np.full(len(words), -1, dtype=np.int64)
    limit = np.full(int(component.max()) + 1, maximum)
    _nearest_outside(np.ascontiguousarray(words), symbol_word, core, component, limit, weight, partner)
    return weight, partner


def closest_between_components(
    words: UInt64[np.ndarray, "item word"],
    symbol_word: int,
    core: Float[np.ndarray, " item"],
    component: Int[np.ndarray, " item"],
    best: Float[np.ndarray, "component component"],
    left: Int[np.ndarray, "component component"],
    right: Int[np.ndarray, "component component"],
) -> None:
    """Lower `best[c, d]` (c < d) to the least mutual reachability max(core_i, core_j, d_ij) between two components.

    One blocked pass over the pairs of different components, pruned by what `best` holds already; `left` and `right`
    get the end points.
    """
    order = np.lexsort((core, component))
    starts = np.concatenate([[0], np.cumsum(np.bincount(component, minlength=len(best)))])
    _closest_pairs(np.ascontiguousarray(words[order]), symbol_word, order, starts, core[order], best, left, right)


class HammingMetric:
    """Packed codes as the spanning tree sees them."""

    def __init__(self, words: UInt64[np.ndarray, "item word"], symbol_word: int) -> None:
        self.words, self.symbol_word = np.ascontiguousarray(words), symbol_word

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distances `[item, neighbour]` rising, indices, and `reach`: no item left out is closer."""
        distances, indices = nearest_codes(self.words, self.symbol_word, k)
        n, k = distances.shape
        reach = np.full(n, np.inf) if k >= n - 1 else distances[:, -1].astype(np.float64)
        return distances, indices, reach

    def closest_between_components(
        self,
        core: Float[np.ndarray, " item"],
        component: Int[np.ndarray, " item"],
        best: Float[np.ndarray, "component component"],
        left: Int[np.ndarray, "component component"],
        right: Int[np.ndarray, "component component"],
    ) -> None:
        """Lower `best[c, d]` (c < d) to the lightest edge between two components, with its ends."""
        closest_between_components(self.words, self.symbol_word, core, component, best, left, right)

    def nearest_outside(
        self, core: Float[np.ndarray, " item"], component: Int[np.ndarray, " item"]
    ) -> tuple[Float[np.ndarray, " item"], Int[np.ndarray, " item"]]:
        """Weight and other end of the lightest edge out of each component, at the item that has it."""
        return nearest_outside(self.words, self.symbol_word, core, component)
