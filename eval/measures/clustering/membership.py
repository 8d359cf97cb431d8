"""How much does an item belong, to which clusters, and where would a new one go? As the package `hdbscan` answers.

All four read the condensed tree of a finished clustering: outlier scores (GLOSH), soft membership of all items in all
clusters, labels for new items.

Axis glossary: ``item`` clustered items, ``new`` items that were not, ``cluster`` the clusters of the answer.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from eval.errors import UserError
from eval.measures.clustering.clusters import Clusters
from eval.measures.clustering.hierarchy import Condensed
from eval.measures.clustering.selection import owners
from eval.measures.codes.polytope import SplineCodes
from eval.measures.codes.popcount import distance_matrix

BLOCK = 512
TINY = 1e-8
"""Added to a cluster's largest lambda, as in `hdbscan`, so that no height divides by zero."""
Data = SplineCodes | np.ndarray


def outlier_scores(found: Clusters) -> Float[np.ndarray, " item"]:
    """How much sparser is an item's surrounding than the densest place of its cluster? GLOSH, in [0, 1], 1: outlier.

    (largest lambda in or below the item's last cluster - the lambda at which it left) / that largest lambda
    [Campello, Moulavi, Zimek & Sander 2015, section 6]. 0 throughout where there is no hierarchy (identical items).
    """
    if (tree := found.condensed) is None:
        return np.zeros(len(found.labels))
    densest = tree.ends
    for cluster in range(len(densest) - 1, 0, -1):  # a child has a larger number than its parent
        densest[tree.parent[cluster]] = max(densest[tree.parent[cluster]], densest[cluster])
    top = densest[tree.last_cluster]
    return np.divide(top - tree.leave, top, out=np.zeros(len(top)), where=top > 0)


def soft_membership(found: Clusters, data: Data) -> Float[np.ndarray, "item cluster"]:
    """With what probability does each item belong to each cluster? Rows sum to the probability of being in any.

    Product of nearness to the cluster's exemplars (the items that stay longest in its leaves) and of the density at
    which item and cluster meet, times the probability of belonging anywhere: `all_points_membership_vectors` (where an
    item meets several clusters at once we take the densest of them for the latter, `hdbscan` the first by number).

    Args:
        found: a clustering of `data` (the same items in the same order).

    Raises `UserError` for other data.
    """
    if len(data) != len(found.labels):
        raise UserError(f"expected the {len(found.labels)} items that were clustered; got {len(data)}; pass those")
    tree = found.condensed
    if tree is None or not found.n_clusters:
        return np.repeat(np.where(found.labels >= 0, 1.0, 0.0)[:, None], found.n_clusters, axis=1)
    ends, height = tree.ends, _meeting(tree, found.nodes)[tree.last_cluster]
    height = np.where(np.isnan(height), tree.leave[:, None], height)
    density = np.exp(-(ends[tree.last_cluster][:, None] + TINY) / height)
    density = np.exp(density - density.max())
    product = _nearness(data, _exemplars(tree, found.nodes)) * density / density.sum(1, keepdims=True)
    nearest = height == height.max(1, keepdims=True)
    anywhere = height.max(1) / np.maximum(np.where(nearest, ends[found.nodes], 0).max(1), tree.leave)
    return product / product.sum(1, keepdims=True) * anywhere[:, None]


def predict(found: Clusters, data: Data, new: Data) -> tuple[Int[np.ndarray, " new"], Float[np.ndarray, " new"]]:
    """Which cluster would a new item join, and how strongly? Labels (-1: noise) and strengths in [0, 1].

    The new item joins its nearest neighbour under mutual reachability, at the lambda of that distance: it belongs to
    what the neighbour belonged to then. The clustering itself stays as it is: `approximate_predict`, with its
    conventions: neighbours are sought among the 2 m nearest, m = min_samples - 1; an item's core distance reaches to
    its m-th nearest with itself counted, the new item's to its (m + 1)-th.

    Args:
        found: a clustering of `data`; new: of the same kind and width.

    Raises `UserError` for data that were not clustered, and for new items of another width.
    """
    if len(data) != len(found.labels):
        raise UserError(f"expected the {len(found.labels)} items that were clustered; got {len(data)}; pass those")
    tree, n = found.condensed, len(data)
    if tree is None or not found.n_clusters:
        label = np.zeros(len(new), dtype=np.int64) if found.n_clusters else np.full(len(new), -1)
        return label, (label >= 0).astype(float)
    m = max(1, found.min_samples - 1)
    core = np.concatenate([np.sort(block, axis=1)[:, min(m, n) - 1] for block in _blocks(data, data)])
    selected = np.zeros(len(tree.parent), dtype=bool)
    selected[found.nodes] = True
    number = np.full(len(selected) + 1, -1)
    number[found.nodes] = np.arange(found.n_clusters)
    owner, ends = owners(tree, selected), tree.ends
    labels, strengths = [], []
    for block in _blocks(new, data):
        for row in block:
            near = np.argsort(row, kind="stable")[: 2 * m]
            reach = np.maximum(np.maximum(core[near], row[near]), row[near[min(m, len(near) - 1)]])
            nearest = near[reach.argmin()]
            rate = 1 / reach.min() if reach.min() > 0 else np.finfo(float).max
            cluster = _at(tree, int(nearest), rate)
            labels.append(number[owner[cluster]])
            top = ends[owner[cluster]]
            strengths.append(0.0 if owner[cluster] < 0 else min(top, rate) / top if top > 0 else 1.0)
    return np.array(labels, dtype=np.int64), np.array(strengths, dtype=float)


def _at(tree: Condensed, item: int, rate: float) -> int:
    """The condensed cluster that an item is in at a lambda."""
    cluster = int(tree.last_cluster[item])
    if tree.leave[item] > rate:
        while cluster > 0 and tree.birth[cluster] >= rate:
            cluster = int(tree.parent[cluster])
    return cluster


def _meeting(tree: Condensed, nodes: np.ndarray) -> np.ndarray:
    """Lambda at which a condensed cluster and one of the answer come together ``[condensed cluster]``; NaN: one holds
    the other, so that it is the item's own lambda that counts."""
    out = np.full((len(tree.parent), len(nodes)), np.nan)
    for column, node in enumerate(nodes):
        for cluster in range(len(tree.parent)):
            one, other, moved = cluster, int(node), [False, False]
            last = one
            while one != other:
                if one > other:
                    last, one, moved[0] = one, int(tree.parent[one]), True
                else:
                    last, other, moved[1] = other, int(tree.parent[other]), True
            if all(moved):
                out[cluster, column] = tree.birth[last]
    return out


def _exemplars(tree: Condensed, nodes: np.ndarray) -> list[np.ndarray]:
    """Items that stay to the end in the leaves of each cluster of the answer."""
    has_child = np.zeros(len(tree.parent), dtype=bool)
    has_child[tree.parent[1:]] = True
    chosen = np.zeros(len(tree.parent), dtype=bool)
    chosen[nodes] = True
    stays = ~has_child[tree.last_cluster] & (tree.leave == tree.ends[tree.last_cluster])
    owner = owners(tree, chosen)[tree.last_cluster]
    return [np.flatnonzero(stays & (owner == node)) for node in nodes]


def _nearness(data: Data, exemplars: list[np.ndarray]) -> np.ndarray:
    """1 / distance to the nearest exemplar of each cluster, rows to sum 1 ``[item cluster]``."""
    columns = [np.concatenate([block.min(1) for block in _blocks(data, data[places])]) for places in exemplars]
    distance = np.stack(columns, axis=1)
    most = np.finfo(float).max / len(columns)
    near = np.divide(1.0, distance, out=np.full(distance.shape, most), where=distance > 0)
    return near / near.sum(1, keepdims=True)


def _blocks(rows: Data, columns: Data):  # noqa: ANN202
    """Distances of all pairs, a block of rows at a time: Hamming of hard codes, Euclidean of points and soft codes."""
    for start in range(0, len(rows), BLOCK):
        yield _distances(rows[slice(start, start + BLOCK)], columns)


def _distances(rows: Data, columns: Data) -> np.ndarray:
    one, two = (
        value.gates if isinstance(value, SplineCodes) and value.words is None else value for value in (rows, columns)
    )
    if isinstance(one, SplineCodes) and isinstance(two, SplineCodes):
        if one.map != two.map:
            raise UserError("expected new codes of the network and layers that were clustered; got another code map")
        assert one.words is not None and two.words is not None
        return distance_matrix(one.words, two.words, one.map.symbol_word).astype(float)
    a, b = np.asarray(one, dtype=float), np.asarray(two, dtype=float)
    if a.ndim != 2 or a.shape[1:] != b.shape[1:]:
        raise UserError(f"expected new points [new, {b.shape[1]}]; got {list(a.shape)}; give the same coordinates")
    return cdist(a, b)
