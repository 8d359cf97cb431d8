"""Exact nearest neighbours and lightest outgoing edges of packed codes, tile by tile, without a distance matrix.

Axis glossary: ``item`` coded inputs (in tile order inside the kernels), ``word`` 64 bits, ``tile`` neighbouring groups
of items, ``neighbour`` the k nearest others, ``component`` sets of items that a spanning tree under construction has
already joined.

1. Items are put into an order in which near ones share a tile (`hamming_tiles.locality_order`).
2. Every pair of tiles is visited once, in the rounds of a round-robin tournament: within a round no tile plays twice,
   so both tiles' neighbour lists can be updated in parallel without locks. All distances are computed whole; the least
   of each pair of tiles (`floor`) is kept.
3. To join components, a tile is compared again only with those tiles whose floor could still beat the lightest edge
   known, least floor first, and only for items that may own a lighter edge than the one known.
"""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import Float, Int, UInt64

from eval.measures.clustering.hamming_tiles import FAR, ROWS, TILE, locality_order, padded, tile_distances
from eval.measures.compiled import compiled

LARGEST_BLOCK = 4
"""Tiles that play a game together: each is then read from memory less often."""


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
def _offer(d, i, first, distances, indices, farthest):
    """The distances of item i to the items from `first` on into the lists of both; returns the least of them."""
    least, worst, wanted, last = FAR, farthest[i], False, distances.shape[1] - 1
    for q in range(TILE):
        least = min(least, d[q])
        wanted |= d[q] < max(worst, farthest[first + q])
    if wanted:
        for q in range(TILE):
            j = first + q
            if d[q] < farthest[i]:
                _insert(distances, indices, i, j, d[q])
                farthest[i] = distances[i, last]
            if d[q] < farthest[j]:
                _insert(distances, indices, j, i, d[q])
                farthest[j] = distances[j, last]
    return least


@compiled()
def _play(words, n, symbol_word, one, two, distances, indices, farthest):
    """All pairs of two tiles (or within one) into the neighbour lists; returns the least distance."""
    out, halves = np.empty((ROWS, TILE), np.int32), np.empty((ROWS, TILE), np.int32)
    first, least = two * TILE, FAR
    for strip in range(one * TILE, min((one + 1) * TILE, n), ROWS):
        tile_distances(words, strip, words, first, symbol_word, out, halves)
        for r in range(min(ROWS, n - strip)):
            i = strip + r
            if one == two:
                out[r, : i - first + 1] = FAR  # each pair once, and no item with itself
            out[r, max(n - first, 0) :] = FAR
            least = min(least, _offer(out[r], i, first, distances, indices, farthest))
    return least


@compiled(parallel=True)
def _play_round(words, n, symbol_word, games, block, distances, indices, farthest, floor):
    """Every game between two blocks of `block` tiles each, which stay in the cache meanwhile."""
    n_tiles = floor.shape[0]
    for g in numba.prange(games.shape[0]):
        a, b = games[g]
        for one in range(max(a, 0) * block, min((a + 1) * block, n_tiles)):
            for two in range(one if a == b else b * block, min((b + 1) * block, n_tiles)):
                least = _play(words, n, symbol_word, one, two, distances, indices, farthest)
                floor[one, two] = floor[two, one] = least


@compiled()
def _join_strip(d, i, first, n, core, component, limit, weight, partner):
    """The distances of item i to the items from `first` on: lowers its edge; returns the lightest outgoing one here."""
    least, own = np.inf, component[i]
    for q in range(min(TILE, n - first)):
        j = first + q
        found = max(np.float64(d[q]), core[i], core[j])
        if component[j] != own and found < least:
            least = found
            if found < limit[own]:
                limit[own], weight[i], partner[i] = found, found, j
    return least


@compiled()
def _join_tile(words, n, symbol_word, one, floor, core, component, limit, bound, weight, partner, tiles):
    """Lightest edges from the items of one tile to other components; `bound` rises to what has been ruled out."""
    out, halves = np.empty((ROWS, TILE), np.int32), np.empty((ROWS, TILE), np.int32)
    start, stop = one * TILE, min((one + 1) * TILE, n)
    least = np.full(TILE, np.inf)  # no outgoing edge of an item is lighter: over the tiles so far
    for two in np.argsort(floor[one]):
        inside = tiles[two, 0]  # the one component of that tile, -1 for several
        lowest = max(np.float64(floor[one, two]), core[tiles[two, 1]])
        for strip in range(start, stop, ROWS):
            needed = False
            for i in range(strip, min(strip + ROWS, stop)):
                ruled_out = max(bound[i], lowest)
                if component[i] != inside and ruled_out < limit[component[i]]:
                    needed = True
                elif component[i] != inside:
                    least[i - start] = min(least[i - start], ruled_out)
            if not needed:
                continue
            tile_distances(words, strip, words, two * TILE, symbol_word, out, halves)
            for i in range(strip, min(strip + ROWS, stop)):
                found = _join_strip(out[i - strip], i, two * TILE, n, core, component, limit, weight, partner)
                least[i - start] = min(least[i - start], found)
    for i in range(start, stop):
        bound[i] = max(bound[i], least[i - start])


@compiled(parallel=True)
def _join(words, n, symbol_word, floor, core, component, limit, bound, weight, partner, tiles):
    """Threads share `limit` (per component); it only saves work, so a lost update does no harm."""
    for one in numba.prange(floor.shape[0]):
        _join_tile(words, n, symbol_word, one, floor, core, component, limit, bound, weight, partner, tiles)


class HammingMetric:
    """Packed codes as the spanning tree sees them: `nearest` first, then `nearest_outside` as often as needed."""

    def __init__(self, words: UInt64[np.ndarray, "item word"], symbol_word: int) -> None:
        self.symbol_word, self._n = symbol_word, len(words)
        self._order = locality_order(words, symbol_word)
        self._words = padded(words, self._order)
        n_tiles = len(self._words) // TILE
        self._floor = np.zeros((n_tiles, n_tiles), dtype=np.int32)

    def nearest(
        self, k: int
    ) -> tuple[Int[np.ndarray, "item neighbour"], Int[np.ndarray, "item neighbour"], Float[np.ndarray, " item"]]:
        """The k nearest other items of each item, exactly; k is cut to n - 1.

        Returns:
            distances (int32, rising along `neighbour`), indices, and `reach`: no item left out is closer. Which of
            several equally distant items comes k-th depends on the row order; the distances do not.
        """
        n, k = self._n, max(0, min(k, self._n - 1))
        distances, indices = np.full((n, k), FAR, dtype=np.int32), np.full((n, k), -1, dtype=np.int32)
        if k == 0:
            return distances, indices, np.full(n, np.inf)
        farthest = np.zeros(len(self._words), dtype=np.int32)  # padding wants no neighbours
        farthest[:n] = FAR
        block = min(LARGEST_BLOCK, max(1, len(self._floor) // (8 * numba.get_num_threads())))
        blocks = np.arange(-(-len(self._floor) // block))
        for games in [np.stack([blocks, blocks], 1), *tournament(len(blocks))]:
            _play_round(self._words, n, self.symbol_word, games, block, distances, indices, farthest, self._floor)
        back = np.argsort(self._order)
        distances, indices = distances[back], self._order[indices[back]].astype(np.int32)
        reach = np.full(n, np.inf) if k >= n - 1 else distances[:, -1].astype(np.float64)
        return distances, indices, reach

    def nearest_outside(
        self,
        core: Float[np.ndarray, " item"],
        component: Int[np.ndarray, " item"],
        bound: Float[np.ndarray, " item"],
        weight: Float[np.ndarray, " item"],
        partner: Int[np.ndarray, " item"],
    ) -> None:
        """Lower `weight` and `partner` to the lightest edge out of each component, at an item that has it.

        Args:
            core, component: of each item.
            bound: no edge out of an item's component is lighter, but for those that `weight` knows; raised here.
            weight, partner: the lightest edge out of its component that each item knows; infinity and -1 for none.
        """
        order, n = self._order, self._n
        back = np.argsort(order)
        core, of, low, best = core[order], component[order], bound[order], weight[order]
        ends = np.where(partner >= 0, back[partner], -1)[order]
        limit = np.full(int(component.max()) + 1, np.inf)
        np.minimum.at(limit, of, best)
        tiles = _tile_summaries(core, of)
        _join(self._words, n, self.symbol_word, self._floor, core, of, limit, low, best, ends, tiles)
        bound[order], weight[order] = low, best
        partner[order] = np.where(ends >= 0, order[ends], -1)


def _tile_summaries(core: np.ndarray, component: np.ndarray) -> Int[np.ndarray, "tile two"]:
    """Per tile: its component if it has only one (else -1), and the item with the least core distance."""
    starts = np.arange(0, len(core), TILE)
    low, high = np.minimum.reduceat(component, starts), np.maximum.reduceat(component, starts)
    densest = [start + int(core[start : start + TILE].argmin()) for start in starts]
    return np.stack([np.where(low == high, low, -1), np.array(densest)], 1)
