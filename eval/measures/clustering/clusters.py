"""Clusters of spline codes and of activations: exact HDBSCAN without a distance matrix, the same for any row order.

Which inputs does the network treat alike? HDBSCAN [Campello, Moulavi & Sander 2013] on the Hamming distance of packed
codes, and its Euclidean twin on activations [Black et al. 2022, section 3]: nearest neighbours -> core distances ->
minimum spanning tree (`spanning_tree`) -> hierarchy with multiway merges (`hierarchy`) -> clusters.

Axis glossary: ``item`` coded inputs, ``cluster`` selected clusters, numbered by falling size.

    found = cluster_codes(codes, min_cluster_size=20)
    found.labels, found.n_clusters, found.sizes
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from eval.errors import UserError
from eval.measures.clustering.euclidean_neighbours import EuclideanMetric
from eval.measures.clustering.hamming_neighbours import HammingMetric
from eval.measures.clustering.hamming_tiles import TILE
from eval.measures.clustering.hierarchy import Condensed, condense
from eval.measures.clustering.selection import assign, select_clusters
from eval.measures.clustering.spanning_tree import MAXIMUM_COMPONENTS, SpanningTree, spanning_tree
from eval.measures.codes.polytope import SplineCodes

NEIGHBOURS = 16
METHODS = ("eom", "leaf")


@dataclass(frozen=True)
class Clusters:
    """A clustering of n items.

    labels: cluster of each item, -1 for noise `[item]`; cluster 0 is the largest.
    strength: membership strength in [0, 1], 0 for noise `[item]`.
    sizes, stability: per cluster; stability is excess of mass in units of items / distance.
    tree: the minimum spanning tree, `None` where n < 2.
    method, metric, min_cluster_size, min_samples: how it was found.
    reason: why there is no cluster, `None` where there is one.
    condensed, nodes: the condensed tree and each cluster's place in it, for `membership`; `None` without a hierarchy.
    """

    labels: Int[np.ndarray, " item"]
    strength: Float[np.ndarray, " item"]
    sizes: Int[np.ndarray, " cluster"]
    stability: Float[np.ndarray, " cluster"]
    tree: SpanningTree | None
    method: str
    metric: str
    min_cluster_size: int
    min_samples: int
    reason: str | None = None
    condensed: Condensed | None = None
    nodes: Int[np.ndarray, " cluster"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def n_clusters(self) -> int:
        return len(self.sizes)

    @property
    def noise_share(self) -> float:
        """Share of items in no cluster, in [0, 1]; 0 where there are no items."""
        return float((self.labels < 0).mean()) if len(self.labels) else 0.0

    def members(self, cluster: int) -> Int[np.ndarray, " member"]:
        """Items of a cluster, strongest first."""
        items = np.flatnonzero(self.labels == cluster)
        return items[np.argsort(-self.strength[items], kind="stable")]


def cluster_codes(
    codes: SplineCodes,
    *,
    min_cluster_size: int = 20,
    min_samples: int | None = None,
    method: str = "eom",
    allow_single_cluster: bool = False,
    epsilon: float = 0.0,
    max_memory_gb: float | None = None,
) -> Clusters:
    """HDBSCAN of hard or categorical codes under the Hamming distance (soft codes: Euclidean on the gates).

    Args:
        codes: n codes of one map.
        min_cluster_size: the least number of items of a cluster, at least 2.
        min_samples: the core distance reaches to the `min_samples`-th nearest item, oneself counted (scikit-learn's
            convention); `None`: `min_cluster_size`. Larger is more conservative.
        method: `eom` (excess of mass) or `leaf` (finest clusters).
        allow_single_cluster: whether one cluster, and noise around it, may be the answer.
        epsilon: clusters that come apart at a distance below it are one; 0: as fine as `method` says.
        max_memory_gb: refuse, before starting, what would need more.

    Returns:
        Labels that depend on the codes only, not on their order. n = 0, n < min_cluster_size: no cluster, all noise,
        with the reason. Identical codes throughout: one cluster.

    Raises:
        UserError: a bad parameter, or a memory budget too small.
    """
    if codes.words is None:
        assert codes.gates is not None
        return cluster_points(
            codes.gates,
            min_cluster_size=min_cluster_size,
            min_samples=min_samples,
            method=method,
            allow_single_cluster=allow_single_cluster,
            epsilon=epsilon,
            max_memory_gb=max_memory_gb,
        )
    options = _Options(min_cluster_size, min_samples, method, allow_single_cluster, epsilon)
    options.check_memory(len(codes), 2 * codes.words.nbytes, 4 * (len(codes) // TILE + 1) ** 2, max_memory_gb)
    return _cluster(HammingMetric(codes.words, codes.map.symbol_word), codes.words, "hamming", options)


def cluster_points(
    points: Float[np.ndarray, "item width"],
    *,
    min_cluster_size: int = 20,
    min_samples: int | None = None,
    method: str = "eom",
    allow_single_cluster: bool = False,
    epsilon: float = 0.0,
    max_memory_gb: float | None = None,
) -> Clusters:
    """HDBSCAN of points (activations) under the Euclidean distance; arguments and result as `cluster_codes`.

    Raises:
        UserError: also for non-finite points.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2:
        raise UserError(f"expected points as [item, width]; got shape {points.shape}; flatten the other axes")
    if not np.isfinite(points).all():
        raise UserError(f"{int((~np.isfinite(points)).any(1).sum())} points hold NaN or infinity; leave them out first")
    options = _Options(min_cluster_size, min_samples, method, allow_single_cluster, epsilon)
    options.check_memory(len(points), 3 * points.nbytes, 24 * min(len(points), MAXIMUM_COMPONENTS) ** 2, max_memory_gb)
    return _cluster(EuclideanMetric(points), points, "euclidean", options)


@dataclass(frozen=True)
class _Options:
    min_cluster_size: int
    min_samples: int | None
    method: str
    allow_single_cluster: bool
    epsilon: float

    def __post_init__(self) -> None:
        if self.min_cluster_size < 2:
            raise UserError(f"expected min_cluster_size of at least 2; got {self.min_cluster_size}")
        if self.min_samples is not None and self.min_samples < 1:
            raise UserError(f"expected min_samples of at least 1 (the item itself); got {self.min_samples}")
        if self.method not in METHODS:
            raise UserError(f"expected method 'eom' or 'leaf'; got {self.method!r}; choose one of them")
        if not (np.isfinite(self.epsilon) and self.epsilon >= 0):
            raise UserError(f"expected an epsilon (a distance) of at least 0; got {self.epsilon}")

    @property
    def samples(self) -> int:
        return self.min_samples or self.min_cluster_size

    def check_memory(self, n: int, of_items: int, of_table: int, max_memory_gb: float | None) -> None:
        """Refuse before the work starts; predicted: bytes of items with copies, neighbour lists, the joining table."""
        k = max(NEIGHBOURS, self.samples)
        needed = (of_items + 60 * n * k + of_table) / 1e9
        if max_memory_gb is not None and needed > max_memory_gb:
            raise UserError(
                f"clustering {n} items needs about {needed:.2g} GB; got a budget of {max_memory_gb:g} GB; "
                "take fewer items or raise --max-memory-gb"
            )


def _cluster(
    metric: HammingMetric | EuclideanMetric,
    rows: np.ndarray,
    name: str,
    options: _Options,
) -> Clusters:
    n = len(rows)
    common = (options.method, name, options.min_cluster_size, options.samples)
    if n < options.min_cluster_size or n < 2:
        reason = f"{n} items; a cluster needs at least {options.min_cluster_size}"
        return _nothing(n, None, common, reason)
    distances, indices, reach = metric.nearest(max(NEIGHBOURS, options.samples - 1))
    tree = spanning_tree(distances, indices, reach, options.samples, metric)
    if tree.weights[-1] == 0 and (rows == rows[0]).all():
        sizes = np.array([n])
        return Clusters(np.zeros(n, dtype=np.int64), np.ones(n), sizes, np.array([float(n)]), tree, *common)
    condensed = condense(tree.ends, tree.weights, n, options.min_cluster_size)
    selected = select_clusters(
        condensed, method=options.method, allow_single_cluster=options.allow_single_cluster, epsilon=options.epsilon
    )
    labels, strength = assign(condensed, selected, options.epsilon)
    if (labels < 0).all():
        words = (
            "no part of the data is denser than the whole" if not selected.any() else "nothing is as dense as epsilon"
        )
        return _nothing(n, tree, common, words, condensed)
    order = _canonical_order(labels, np.flatnonzero(selected), rows)
    renumber = np.full(len(condensed.parent) + 1, -1, dtype=np.int64)
    renumber[order] = np.arange(len(order))
    labels = renumber[labels]
    sizes = np.bincount(labels[labels >= 0], minlength=len(order))
    return Clusters(labels, strength, sizes, condensed.stability[order], tree, *common, None, condensed, order)


def _nothing(
    n: int,
    tree: SpanningTree | None,
    common: tuple[str, str, int, int],
    reason: str,
    condensed: Condensed | None = None,
) -> Clusters:
    empty = np.zeros(0, dtype=np.int64)
    return Clusters(np.full(n, -1), np.zeros(n), empty, np.zeros(0), tree, *common, reason, condensed)


def _canonical_order(labels: np.ndarray, clusters: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Clusters by falling size; equal sizes by their smallest row, so that numbers do not depend on the row order."""
    sizes = {int(c): int((labels == c).sum()) for c in clusters}
    repeated = {size for size in sizes.values() if list(sizes.values()).count(size) > 1}

    def key(cluster: int) -> tuple[int, bytes]:
        ties = sizes[cluster] in repeated
        smallest = min(row.tobytes() for row in rows[labels == cluster]) if ties else b""
        return -sizes[cluster], smallest

    return np.array(sorted(sizes, key=key))
