"""From a spanning tree to a condensed tree: the single-linkage hierarchy with ties merged at once (`selection`: then).

The hierarchy of a data set is unique once merges of equal weight are *one* event with many children; a binary tree
breaks such ties by row order, and integer distances tie massively. Everything below depends only on that unique
hierarchy, so it does not depend on row order.

Condensing and excess of mass [Campello, Moulavi & Sander 2013, sections 3-5]: lambda = 1 / distance; an event keeps a
cluster going, or splits it where at least two children hold `min_cluster_size` items; stability of a cluster =
sum over items of (lambda at which the item leaves - lambda at which the cluster was born).

Deviation: merges at distance zero (duplicates) count at half the smallest positive distance rather than at infinite
lambda, where `min_cluster_size` duplicates would beat every larger cluster around them.

Axis glossary: ``item``, ``node`` of the hierarchy (items first, then events), ``cluster`` condensed clusters, root 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from eval.measures.clustering.spanning_tree import _find
from eval.measures.compiled import compiled


@dataclass(frozen=True)
class Condensed:
    """The condensed tree: per cluster `parent` (-1 for the root), `birth` lambda, `size`, `stability`; per item the
    cluster it was last in and the lambda at which it left."""

    parent: Int[np.ndarray, " cluster"]
    birth: Float[np.ndarray, " cluster"]
    size: Int[np.ndarray, " cluster"]
    stability: Float[np.ndarray, " cluster"]
    last_cluster: Int[np.ndarray, " item"]
    leave: Float[np.ndarray, " item"]

    @property
    def ends(self) -> Float[np.ndarray, " cluster"]:
        """The largest lambda at which something leaves a cluster itself: an item, or what it splits into."""
        out = np.zeros(len(self.parent))
        np.maximum.at(out, self.last_cluster, self.leave)
        np.maximum.at(out, self.parent[1:], self.birth[1:])
        return out


@compiled()
def merge_events(ends, weights, n):
    """The hierarchy as parent pointers: `parent [node]`, `height [node]`, `size [node]`; the root is the last node."""
    parent = np.full(2 * n - 1, -1, dtype=np.int64)
    height = np.zeros(2 * n - 1)
    size = np.ones(2 * n - 1, dtype=np.int64)
    union = np.arange(n)
    top = np.arange(n)  # node at the root of each union-find set
    count = n
    e = 0
    while e < len(weights):
        stop = e
        while stop < len(weights) and weights[stop] == weights[e]:
            stop += 1
        first_new = count
        for f in range(e, stop):
            a, b = _find(union, ends[f, 0]), _find(union, ends[f, 1])
            one, two = top[a], top[b]
            union[b] = a
            if one >= first_new and two >= first_new:  # two events of this very weight: one becomes the other's alias
                parent[two], height[two] = one, weights[e]
                size[one] += size[two]
            elif one >= first_new:
                parent[two] = one
                size[one] += size[two]
            elif two >= first_new:
                parent[one] = two
                size[two] += size[one]
                top[a] = two
            else:
                parent[one] = parent[two] = count
                height[count], size[count] = weights[e], size[one] + size[two]
                top[a] = count
                count += 1
        e = stop
    return parent[:count], height[:count], size[:count]


@compiled()
def _collapse(parent, height, n):
    """Point past aliases: a node whose parent has the same height belongs to that parent's event."""
    for node in range(len(parent)):
        up = parent[node]
        while up >= 0 and parent[up] >= 0 and height[parent[up]] == height[up]:
            up = parent[up]
        parent[node] = up
    alias = np.zeros(len(parent), dtype=np.bool_)
    for node in range(n, len(parent)):
        alias[node] = parent[node] >= 0 and height[parent[node]] == height[node]
    return alias


@compiled()
def _condense(parent, height, size, alias, n, minimum, zero_lambda):
    """Walk events from the root down. Returns cluster arrays (cut to count) and item arrays."""
    n_nodes = len(parent)
    most = 2 * (n // max(minimum, 1)) + 2
    up, birth = np.full(most, -1, dtype=np.int64), np.zeros(most)
    members, stability = np.zeros(most, dtype=np.int64), np.zeros(most)
    of_node = np.full(n_nodes, -1, dtype=np.int64)  # cluster that a node continues; -1: its items have left
    left_at = np.zeros(n_nodes)  # lambda at which a node's items left, where of_node is -1
    last = np.zeros(n_nodes, dtype=np.int64)
    n_big = np.zeros(n_nodes, dtype=np.int64)
    for node in range(n_nodes):
        if parent[node] >= 0 and not alias[node] and size[node] >= minimum:
            n_big[parent[node]] += 1
    order = np.argsort(-height[n:], kind="mergesort") + n
    root = order[0]
    for node in order:
        if parent[node] < 0:
            root = node
    of_node[root], members[0] = 0, n
    count = 1
    # falling height, then items: a parent is always seen before its children
    for step in range(n_nodes):
        node = order[step] if step < n_nodes - n else step - (n_nodes - n)
        if node == root or alias[node]:
            continue
        above = parent[node]
        rate = zero_lambda if height[above] <= 0 else 1.0 / height[above]
        cluster = of_node[above]
        if cluster < 0:
            left_at[node], last[node] = left_at[above], last[above]
            continue
        if size[node] < minimum or n_big[above] == 0:
            left_at[node], last[node] = rate, cluster
            stability[cluster] += size[node] * (rate - birth[cluster])
        elif n_big[above] == 1:
            of_node[node] = cluster
        else:
            of_node[node] = count
            up[count], birth[count], members[count] = cluster, rate, size[node]
            stability[cluster] += size[node] * (rate - birth[cluster])
            count += 1
    return up[:count], birth[:count], members[:count], stability[:count], last[:n], left_at[:n]


def condense(
    ends: Int[np.ndarray, "edge two"], weights: Float[np.ndarray, " edge"], n: int, min_cluster_size: int
) -> Condensed:
    """The condensed tree of a spanning tree with rising weights, n >= 2."""
    parent, height, size = merge_events(ends, weights, n)
    alias = _collapse(parent, height, n)
    positive = weights[weights > 0]
    zero_lambda = 2.0 / positive[0] if len(positive) else 1.0
    return Condensed(*_condense(parent, height, size, alias, n, min_cluster_size, zero_lambda))
