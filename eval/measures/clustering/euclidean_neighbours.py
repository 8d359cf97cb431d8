"""Exact nearest neighbours and closest pairs of points, blocked, without a distance matrix: the Euclidean twin.

Candidates come from blocked matrix products (fast, rounded); every distance that is used is computed again as a plain
sum of squared differences in float64, which is symmetric and the same in whatever row the points stand.

Axis glossary: ``item`` points, ``width`` coordinates, ``neighbour`` k nearest others, ``component`` joined sets.
"""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import Float, Int

from eval.measures.compiled import compiled

BLOCK = 512
SPARE = 8  # candidates beyond k, against rounding of the products
SLACK = 1e-9  # relative error allowed to the products, in units of the squared norms


@compiled()
def _distance(a, b):
    total = 0.0
    for w in range(a.shape[0]):
        difference = a[w] - b[w]
        total += difference * difference
    return np.sqrt(total)


@compiled(parallel=True)
def _exact(points, rows, candidates):
    out = np.empty(candidates.shape)
    for i in numba.prange(candidates.shape[0]):
        for c in range(candidates.shape[1]):
            out[i, c] = _distance(points[rows[i]], points[candidates[i, c]])
    return out


@compiled()
def _lower(points, squared, slack, i0, j0, core, component, best, left, right):
    """Look at a block of rounded squared distances; exact distances only where they might lower the table."""
    for r in range(squared.shape[0]):
        i = i0 + r
        for s in range(squared.shape[1]):
            j = j0 + s
            a, b = component[i], component[j]
            if a == b or j <= i:
                continue
            c, d = (a, b) if a < b else (b, a)
            most = best[c, d]
            if core[i] >= most or core[j] >= most or squared[r, s] - slack > most * most:
                continue
            weight = max(_distance(points[i], points[j]), core[i], core[j])
            if weight < most:
                best[c, d] = weight
                left[c, d], right[c, d] = (i, j) if a < b else (j, i)


@compiled()
def _outside(points, squared, slack, i0, j0, core, component, limit, weight, partner):
    for r in range(squared.shape[0]):
        i = i0 + r
        for s in range(squared.shape[1]):
            j = j0 + s
            most = limit[component[i]]
            if component[i] == component[j] or core[i] >= most or core[j] >= most:
                continue
            if squared[r, s] - slack > most * most:
                continue
            found = max(_distance(points[i], points[j]), core[i], core[j])
            if found < most:
                weight[i], partner[i] = found, j
                limit[component[i]] = found


class EuclideanMetric:
    """Points `[item, width]` as the spanning tree sees them (float64 copy, centred for accuracy)."""

    def __init__(self, points: Float[np.ndarray, "item width"]) -> None:
        self.points = np.ascontiguousarray(points, dtype=np.float64)
        centre = np.sort(self.points, axis=0).mean(0) if len(points) else 0.0  # sorted: independent of row order
        self._centred = self.points - centre
        self._squares = np.einsum("iw,iw->i", self._centred, self._centred)
        self._slack = SLACK * float(self._squares.max(initial=0.0))

    def _blocks(self, upper: bool):
        """Blocks `(i0, j0, rounded squared distances)`; only those on and above the diagonal where `upper`."""
        n = len(self.points)
        for i in range(0, n, BLOCK):
            rows = slice(i, min(i + BLOCK, n))
            for j in range(i if upper else 0, n, 4 * BLOCK):
                columns = slice(j, min(j + 4 * BLOCK, n))
                product = self._centred[rows] @ self._centred[columns].T
                yield i, j, self._squares[rows, None] + self._squares[None, columns] - 2 * product

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distances `[item, neighbour]` rising, indices, and `reach`: no item left out is closer."""
        n = len(self.points)
        k = max(0, min(k, n - 1))
        wanted = min(k + SPARE, n - 1)
        distances, indices = np.empty((n, k)), np.empty((n, k), dtype=np.int64)
        reach = np.full(n, np.inf)
        if k == 0:
            return distances, indices, reach
        for i in range(0, n, BLOCK):
            rows = np.arange(i, min(i + BLOCK, n))
            squared = self._squares[rows, None] + self._squares - 2 * (self._centred[rows] @ self._centred.T)
            squared[np.arange(len(rows)), rows] = np.inf
            nearest = np.argpartition(squared, wanted - 1, axis=1)[:, :wanted]
            exact = _exact(self.points, rows, nearest)
            order = np.argsort(exact, axis=1, kind="stable")[:, :k]
            distances[rows] = np.take_along_axis(exact, order, 1)
            indices[rows] = np.take_along_axis(nearest, order, 1)
            if wanted < n - 1:
                edge = np.take_along_axis(squared, nearest, 1).max(1)
                left_out = np.sqrt(np.maximum(edge - self._slack, 0))
                reach[rows] = np.maximum(np.minimum(left_out, distances[rows, -1] if k else 0), 0)
            elif k < n - 1:
                reach[rows] = distances[rows, -1]
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
        for i, j, squared in self._blocks(upper=True):
            _lower(self.points, squared, self._slack, i, j, core, component, best, left, right)

    def nearest_outside(
        self,
        core: Float[np.ndarray, " item"],
        component: Int[np.ndarray, " item"],
        bound: Float[np.ndarray, " item"],
        weight: Float[np.ndarray, " item"],
        partner: Int[np.ndarray, " item"],
    ) -> None:
        """Lower `weight` and `partner` to the lightest edge out of each component, at an item that has it."""
        del bound  # the products are computed by the block, whatever the items
        limit = np.full(int(component.max()) + 1, np.inf)
        np.minimum.at(limit, component, weight)
        for i, j, squared in self._blocks(upper=False):
            _outside(self.points, squared, self._slack, i, j, core, component, limit, weight, partner)
