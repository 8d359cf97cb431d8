"""From a condensed tree to clusters: which of them are the answer, and to which one every item belongs.

A cluster is selected where its stability is at least that of the best selection below it [Campello, Moulavi & Sander
2013, section 5], or where it is smallest (`leaf`).

Axis glossary: ``item``, ``cluster`` condensed clusters, root 0, every one numbered above its parent.
"""

from __future__ import annotations

import numpy as np

from eval.measures.clustering.hierarchy import Condensed


def select_clusters(
    tree: Condensed, *, method: str = "eom", allow_single_cluster: bool = False, epsilon: float = 0.0
) -> np.ndarray:
    """Which condensed clusters are the answer: boolean `[cluster]`, no one above another.

    `eom` maximises the total stability (a tie keeps the larger cluster); `leaf` takes the smallest ones. The root is
    selected only where `allow_single_cluster`. Clusters that come apart at a distance below `epsilon` are not told from
    one another: the one above them that was born beyond it stands for them [Malzer & Baum 2020].
    """
    count = len(tree.parent)
    has_child = np.zeros(count, dtype=bool)
    has_child[tree.parent[tree.parent >= 0]] = True
    if method == "leaf":
        selected = ~has_child
    else:
        selected = np.ones(count, dtype=bool)
        below = np.zeros(count)
        for cluster in range(count - 1, -1, -1):  # children have larger numbers than their parents
            own = tree.stability[cluster]
            better = has_child[cluster] and below[cluster] > own * (1 + 1e-12)
            selected[cluster] = not better and (cluster > 0 or allow_single_cluster)
            if cluster:
                below[tree.parent[cluster]] += below[cluster] if better else own
    for cluster in range(1, count):  # from the top: what lies under a selected cluster is part of it
        selected[cluster] &= not _covered(selected, tree.parent, int(tree.parent[cluster]))
    if not allow_single_cluster:
        selected[0] = False
    if epsilon > 0 and not selected[0]:
        selected = _merged_below(tree, selected, epsilon, 0 if allow_single_cluster else 1)
    return selected


def _merged_below(tree: Condensed, selected: np.ndarray, epsilon: float, top: int) -> np.ndarray:
    """Selected clusters born at a distance below epsilon make way for the first above them that was not.

    top: 0 where the root may stand for its parts; else the last cluster below it does.
    """
    out = np.zeros_like(selected)
    for cluster in np.flatnonzero(selected):
        while tree.birth[cluster] * epsilon > 1 and tree.parent[cluster] >= top:
            cluster = int(tree.parent[cluster])
        out[cluster] = True
    for cluster in range(1, len(out)):
        out[cluster] &= not _covered(out, tree.parent, int(tree.parent[cluster]))
    return out


def _covered(selected: np.ndarray, parent: np.ndarray, cluster: int) -> bool:
    """Is a cluster or one above it selected?"""
    while cluster >= 0:
        if selected[cluster]:
            return True
        cluster = int(parent[cluster])
    return False


def owners(tree: Condensed, selected: np.ndarray) -> np.ndarray:
    """The selected cluster at or above each condensed one, -1 where there is none: `[cluster]`."""
    owner = np.full(len(tree.parent), -1, dtype=np.int64)
    for cluster in range(len(tree.parent)):
        if selected[cluster]:
            owner[cluster] = cluster
        elif tree.parent[cluster] >= 0:
            owner[cluster] = owner[tree.parent[cluster]]
    return owner


def assign(tree: Condensed, selected: np.ndarray, epsilon: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Selected cluster of each item (-1 noise) and its membership strength in [0, 1].

    Where the root is the answer its members are what is left of it at its last event, when it splits or dissolves
    (with an epsilon: what is left of it at that distance); items that left before are noise (as in `hdbscan` and
    scikit-learn: else one cluster would be everything). strength = min(leave, last) / last, `last` the largest lambda
    at which something leaves the cluster itself (where it splits, or its densest item).
    """
    labels = owners(tree, selected)[tree.last_cluster]
    if selected[0]:
        least = 1 / epsilon if epsilon > 0 else tree.ends[0]
        labels = np.where(tree.leave < least, -1, labels)
    strength = np.zeros(len(labels))
    inside = labels >= 0
    last = tree.ends[labels[inside]]
    share = np.divide(tree.leave[inside], last, out=np.ones(inside.sum()), where=last > 0)
    strength[inside] = np.minimum(share, 1)
    return labels, strength
