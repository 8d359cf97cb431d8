"""The exact minimum spanning tree under mutual reachability, from k nearest neighbours and one joining pass.

Mutual reachability of i and j: max(core_i, core_j, d_ij), core_i = distance to the `min_samples`-th nearest item, the
item itself counted [Campello, Moulavi & Sander 2013].

1. Boruvka on the k-nearest-neighbour graph. A component may use its lightest edge only where that edge is at most
   min over members i of max(core_i, d_k(i)): every edge that the graph lacks weighs at least that much.
2. The components left over are joined: by further rounds in which the metric finds each component's lightest outgoing
   edge, or, where it can, by one blocked pass that finds the lightest edge of every two of them.

Axis glossary: ``item``, ``neighbour`` k nearest others, ``edge`` n - 1 tree edges, ``component``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from eval.measures.compiled import compiled

MAXIMUM_COMPONENTS = 2048
"""Up to this many components a `TableMetric` is asked for the lightest edge of every two of them at once."""


@runtime_checkable
class Metric(Protocol):
    """What joining needs to know about the items."""

    def nearest_outside(
        self, core: np.ndarray, component: np.ndarray, bound: np.ndarray, weight: np.ndarray, partner: np.ndarray
    ) -> None:
        """Lower `weight` and `partner` to the lightest edge out of each component, at an item that has it.

        On entry they hold the lightest edge that each item knows (infinity, -1: none), and no other edge out of an
        item's component is lighter than its `bound`, which may be raised to what has been ruled out.
        """
        ...


@runtime_checkable
class TableMetric(Metric, Protocol):
    """A metric whose passes over all pairs are dear: it answers for all pairs of components in one."""

    def closest_between_components(
        self, core: np.ndarray, component: np.ndarray, best: np.ndarray, left: np.ndarray, right: np.ndarray
    ) -> None:
        """Lower `best[c, d]` (c < d) to the lightest edge between two components, with its ends."""
        ...


@dataclass(frozen=True)
class SpanningTree:
    """ends `[edge, two]` item indices, weights `[edge]` rising; core `[item]`; n_joined: components left for pass 2."""

    ends: Int[np.ndarray, "edge two"]
    weights: Float[np.ndarray, " edge"]
    core: Float[np.ndarray, " item"]
    n_joined: int

    @property
    def weight(self) -> float:
        """Total weight; the same for every minimum spanning tree."""
        return float(self.weights.sum())


def core_distances(distances: Shaped[np.ndarray, "item neighbour"], min_samples: int) -> Float[np.ndarray, " item"]:
    """Distance to the `min_samples`-th nearest item, oneself included (so 1 gives 0); cut to what n allows."""
    n, k = distances.shape
    if min_samples <= 1 or k == 0:
        return np.zeros(n)
    return distances[:, min(min_samples - 2, k - 1)].astype(np.float64)


def spanning_tree(
    distances: Shaped[np.ndarray, "item neighbour"],
    indices: Int[np.ndarray, "item neighbour"],
    reach: Float[np.ndarray, " item"],
    min_samples: int,
    metric: Metric,
) -> SpanningTree:
    """The minimum spanning tree of n items.

    Args:
        distances, indices: the k nearest others, rising, k >= min(min_samples - 1, n - 1).
        reach: no pair that the graph lacks is closer than `reach` of either end (the k-th distance; infinite where the
            graph is complete).
        min_samples: for the core distances.
        metric: answers the joining pass.
    """
    n = len(distances)
    core = core_distances(distances, min_samples)
    left = np.repeat(np.arange(n), distances.shape[1])
    right = indices.ravel().astype(np.int64)
    weight = np.maximum(np.maximum(core[left], core[right]), distances.ravel())
    component = np.arange(n)
    bound = np.maximum(core, reach)
    picked = _boruvka(left, right, weight.astype(np.float64), bound, component)
    ends, weights = [np.stack([left[picked], right[picked]], 1)], [weight[picked]]
    n_components = int(component.max()) + 1 if n else 0
    lightest, partner = np.full(n, np.inf), np.full(n, -1, dtype=np.int64)
    most = MAXIMUM_COMPONENTS if isinstance(metric, TableMetric) else 1
    while int(component.max(initial=0)) + 1 > most:
        _known_edges(component, core, distances, indices, lightest, partner)
        metric.nearest_outside(core, component, bound, lightest, partner)
        _halve(component, lightest, partner, ends, weights)
    if component.max(initial=0) > 0:
        joined = _join_components(core, component, left, right, weight, metric)
        ends.append(joined[0])
        weights.append(joined[1])
    all_ends, all_weights = np.concatenate(ends), np.concatenate(weights)
    order = np.argsort(all_weights, kind="stable")
    return SpanningTree(all_ends[order], all_weights[order], core, n_components)


@compiled()
def _find(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled()
def _boruvka(left, right, weight, bound, component):
    """Indices of the accepted edges; `component` becomes the numbers 0.. of what is joined."""
    n = len(component)
    parent = np.arange(n)
    limit = bound.copy()  # per root: min over its members
    lightest = np.empty(n, dtype=np.int64)
    picked = np.empty(max(n - 1, 0), dtype=np.int64)
    n_picked = 0
    alive = np.arange(len(left))
    changed = True
    while changed:
        changed = False
        lightest[:] = -1
        kept = 0
        for e in alive:
            a, b = _find(parent, left[e]), _find(parent, right[e])
            if a == b:
                continue
            alive[kept] = e
            kept += 1
            for c in (a, b):
                if lightest[c] < 0 or weight[e] < weight[lightest[c]]:
                    lightest[c] = e
        alive = alive[:kept]
        was_root = parent == np.arange(n)
        allowed = limit.copy()
        for c in range(n):
            e = lightest[c]
            if not was_root[c] or e < 0 or weight[e] > allowed[c]:
                continue
            a, b = _find(parent, left[e]), _find(parent, right[e])
            if a != b:
                parent[b] = a
                limit[a] = min(limit[a], limit[b])
                picked[n_picked] = e
                n_picked += 1
                changed = True
    number = np.full(n, -1, dtype=np.int64)
    count = 0
    for i in range(n):
        root = _find(parent, i)
        if number[root] < 0:
            number[root] = count
            count += 1
        component[i] = number[root]
    return picked[:n_picked]


def _join_components(core, component, left, right, weight, metric) -> tuple[np.ndarray, np.ndarray]:
    """Edges that join the remaining components, lightest first."""
    count = int(component.max()) + 1
    best = np.full((count, count), np.inf)
    ends = np.zeros((2, count, count), dtype=np.int64)
    a, b = component[left], component[right]
    order = np.argsort(-weight, kind="stable")
    order = order[a[order] != b[order]]
    low, high = np.minimum(a, b)[order], np.maximum(a, b)[order]
    swap = (a > b)[order]
    best[low, high] = weight[order]  # falling order: the lightest is written last
    ends[0, low, high] = np.where(swap, right[order], left[order])
    ends[1, low, high] = np.where(swap, left[order], right[order])
    metric.closest_between_components(core, component, best, ends[0], ends[1])
    return _tree_of_components(best, ends)


def _tree_of_components(best: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimum spanning tree of the component graph; zero weights are shifted because SciPy reads 0 as 'no edge'."""
    low, high = np.triu_indices(len(best), 1)
    places = (low.astype(np.int32), high.astype(np.int32))  # csgraph reads no wider indices before SciPy 1.17
    graph = csr_array((best[low, high] + 1.0, places), shape=best.shape)
    tree = minimum_spanning_tree(graph).tocoo()
    rows, columns = tree.coords
    return np.stack([ends[0, rows, columns], ends[1, rows, columns]], 1), best[rows, columns]


@compiled()
def _known_edges(component, core, distances, indices, weight, partner):
    """The lightest known edge of each item that still leaves its component: of its neighbours and the last round."""
    for i in range(len(component)):
        if partner[i] >= 0 and component[partner[i]] == component[i]:
            weight[i], partner[i] = np.inf, -1
        for q in range(distances.shape[1]):
            j = indices[i, q]
            found = max(np.float64(distances[i, q]), core[i], core[j])
            if component[j] != component[i] and found < weight[i]:
                weight[i], partner[i] = found, j


def _halve(component, lightest, partner, ends: list[np.ndarray], weights: list[np.ndarray]) -> None:
    """One Boruvka round: every component takes the lightest of its items' edges."""
    left = np.flatnonzero(partner >= 0)
    right, weight = partner[left], lightest[left]
    order = np.argsort(weight, kind="stable")
    _, first = np.unique(component[left[order]], return_index=True)  # one edge per component: ties cannot close a cycle
    chosen = order[first]
    left, right, weight = left[chosen], right[chosen], weight[chosen]
    of_component = np.arange(int(component.max()) + 1)
    bound = np.full(len(of_component), np.inf)
    picked = _boruvka(component[left], component[right], weight, bound, of_component)
    component[:] = of_component[component]
    ends.append(np.stack([left[picked], right[picked]], 1))
    weights.append(weight[picked])
