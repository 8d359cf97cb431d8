"""Approximate nearest neighbours for data too large for a pass over all pairs: pynndescent, labelled approximate.

The neighbour lists may miss a few neighbours (recall is typically above .95), so core distances are upper bounds; the
components of the neighbour graph are joined through a sample of their densest members instead of all of them, so the
spanning tree is a tree but may be heavier than the minimal one.

Axis glossary: ``item``, ``neighbour``, ``component``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.measures.codes.popcount import distance_matrix

REPRESENTATIVES = 4
"""Densest members that stand for a component when components are joined."""


class ApproximateMetric:
    """What the spanning tree needs, answered approximately. Build with `of_codes` or `of_points`."""

    def __init__(self, data: np.ndarray, metric: str, between: Callable[[Any, Any], np.ndarray], seed: int) -> None:
        self._data, self._metric, self._between, self._seed = data, metric, between, seed

    @classmethod
    def of_codes(cls, words: np.ndarray, symbol_word: int, seed: int = 0) -> ApproximateMetric:
        """Packed codes under the Hamming distance (one-hot symbols count half a bit only in the exact recount)."""

        def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return distance_matrix(words[a], words[b], symbol_word).astype(np.float64)

        return cls(np.ascontiguousarray(words).view(np.uint8), "bit_hamming", between, seed)

    @classmethod
    def of_points(cls, points: np.ndarray, seed: int = 0) -> ApproximateMetric:
        """Points under the Euclidean distance, centred before the index takes them as float32: at an offset of 1e9
        float32 has nothing left of a spread of 1."""
        centred = points - np.sort(points, axis=0).mean(0)  # sorted: independent of row order

        def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            from scipy.spatial.distance import cdist

            return cdist(centred[a], centred[b])

        return cls(centred.astype(np.float32), "euclidean", between, seed)

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distances `[item, neighbour]` rising (recomputed exactly), indices; `reach` is infinite: all edges count."""
        try:
            from pynndescent import NNDescent
        except ImportError as error:
            raise UserError(
                f"clustering {len(self._data)} items approximately needs pynndescent; install "
                "neural-codes[approximate] or raise exact_up_to"
            ) from error
        n = len(self._data)
        k = min(k, n - 1)
        index = NNDescent(self._data, metric=self._metric, n_neighbors=min(k + 1, n), random_state=self._seed)
        found, _ = index.neighbor_graph  # pyright: ignore
        distances, indices = np.empty((n, k)), np.empty((n, k), dtype=np.int64)
        for i in range(n):
            others = found[i][(found[i] != i) & (found[i] >= 0)][:k]
            missing = k - len(others)
            exact = self._between(np.array([i]), others)[0]
            order = np.argsort(exact, kind="stable")
            filled = np.r_[order, np.full(missing, order[-1])] if len(order) else np.zeros(0, dtype=int)
            distances[i], indices[i] = exact[filled], others[filled]
        return distances, indices, np.full(n, np.inf)

    def _representatives(self, core: np.ndarray, component: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The densest members of each component and which component they stand for."""
        order = np.lexsort((core, component))
        starts = np.searchsorted(component[order], np.arange(int(component.max()) + 1))
        rank = np.arange(len(order)) - starts[component[order]]
        chosen = order[rank < REPRESENTATIVES]
        return chosen, component[chosen]

    def closest_between_components(
        self, core: np.ndarray, component: np.ndarray, best: np.ndarray, left: np.ndarray, right: np.ndarray
    ) -> None:
        """Lower `best[c, d]` (c < d) to the lightest edge between the representatives of two components."""
        items, of = self._representatives(core, component)
        for start in range(0, len(items), 512):
            rows = items[start : start + 512]
            weight = self._between(rows, items)
            weight = np.maximum(weight, np.maximum(core[rows][:, None], core[items][None]))
            for i, j in np.argwhere(of[start : start + 512, None] < of[None]):
                c, d = of[start + i], of[j]
                if weight[i, j] < best[c, d]:
                    best[c, d], left[c, d], right[c, d] = weight[i, j], rows[i], items[j]

    def nearest_outside(
        self, core: np.ndarray, component: np.ndarray, bound: np.ndarray, weight: np.ndarray, partner: np.ndarray
    ) -> None:
        """Lower `weight` and `partner` to the lightest edge from each component's densest members to another's."""
        del bound
        items, of = self._representatives(core, component)
        for start in range(0, len(items), 512):
            rows = items[start : start + 512]
            found = np.maximum(self._between(rows, items), np.maximum(core[rows][:, None], core[items][None]))
            found[of[start : start + 512, None] == of[None]] = np.inf
            nearest = found.argmin(1)
            lightest = found[np.arange(len(rows)), nearest]
            better = lightest < weight[rows]
            weight[rows[better]], partner[rows[better]] = lightest[better], items[nearest[better]]
