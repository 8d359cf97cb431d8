"""From one layer to the next: which regions split, which merge, and who stays beside whom?

The codes of one layer group the items into clusters (regions of its code space), those of the next group them again.
`region_flow` compares two groupings, `neighbours_kept` needs no clusters: it asks how many of an item's nearest items
by the one layer's code are nearest by the other's as well [Black et al. 2022, discussion: representations converge and
diverge through the network].

Axis glossary: ``item`` coded inputs, ``before`` and ``after`` clusters of the earlier and the later layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Real

from eval.errors import UserError
from eval.measures.clustering.clusters import Clusters
from eval.measures.statistics.resampling import bootstrap_mean
from eval.results import Result, result
from eval.scores import Score

LEAST_SHARED = 2
"""Items that a pair of clusters must share before it counts as a branch."""
MINIMUM_ITEMS = 10
NEIGHBOURS = 5
"""Nearest items that `flow_between` follows."""


@dataclass(frozen=True)
class RegionFlow:
    """How the clusters of one layer go over into those of the next, over items that are in a cluster of both.

    table: items by cluster before and after. split_bits: entropy of the cluster after, given that before (0: no cluster
    splits); merged_bits: the reverse (0: none merge). split, merged: how many clusters go to, or come from, two or more
    with at least `LEAST_SHARED` items each. agreement: adjusted mutual information [Vinh, Epps & Bailey 2010], 1: one
    grouping, 0: as chance has it; undefined, with the reason, where either layer has one cluster or none.
    """

    table: Int[np.ndarray, "before after"]
    split_bits: float
    merged_bits: float
    split: int
    merged: int
    agreement: Score

    @property
    def n_items(self) -> int:
        return int(self.table.sum())


def region_flow(before: Int[np.ndarray, " item"], after: Int[np.ndarray, " other"]) -> RegionFlow:
    """Which clusters of one layer split in the next, and which merge there?

    Args:
        before, after: the cluster of the same items at both layers, -1 for none; such items are left out.

    Raises `UserError` for labels of other items.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or before.ndim != 1:
        raise UserError(f"expected one label per item at both layers; got {before.shape} and {after.shape}")
    kept = (before >= 0) & (after >= 0)
    shape = (int(before.max(initial=-1)) + 1, int(after.max(initial=-1)) + 1)
    table = np.zeros(shape, dtype=np.int64)
    np.add.at(table, (before[kept], after[kept]), 1)
    n = int(kept.sum())
    branches = table >= LEAST_SHARED
    if min(int(table.any(1).sum()), int(table.any(0).sum())) < 2:
        reason = f"{n} items are in a cluster of both layers; they lie in one cluster of a layer, or in none"
        agreement = Score.undefined(reason, n)
    else:
        agreement = Score(float(adjusted_mutual_info_score(before[kept], after[kept])), n=n)
    return RegionFlow(
        table,
        _conditional_bits(table),
        _conditional_bits(table.T),
        int((branches.sum(1) > 1).sum()),
        int((branches.sum(0) > 1).sum()),
        agreement,
    )


@result
class Flow(Result):
    """How the clusters of two layers, and the items' neighbours, go over: `region_flow` and `neighbours_kept` as a row.

    in_both: items in a cluster of both layers. neighbours_by_chance: of codes in random order; none where there are too
    few items.
    """

    clusters_first: int
    clusters_second: int
    in_both: int
    split_bits: float
    merged_bits: float
    split: int
    merged: int
    agreement: Score
    neighbours_kept: Score
    neighbours_by_chance: float | None


def flow_between(
    first: Clusters, second: Clusters, apart: Sequence[Real[np.ndarray, "item item"]], *, items: str, seed: int = 0
) -> Flow:
    """The flow from one layer's clusters of codes to the next's.

    Args:
        apart: distances of codes at the first and at the second layer, of all items or of some of them.
        items: what they are, in the words of the reason where they are too few for neighbours.
    """
    flow, n = region_flow(first.labels, second.labels), len(apart[0])
    kept, chance = Score.undefined(f"{n} {items}; {NEIGHBOURS} neighbours need {NEIGHBOURS + 2}", n), None
    if n >= NEIGHBOURS + 2:
        kept, chance = neighbours_kept(apart[0], apart[1], NEIGHBOURS, seed=seed)
    return Flow(
        first.n_clusters, second.n_clusters, flow.n_items, flow.split_bits, flow.merged_bits, flow.split, flow.merged,
        flow.agreement, kept, chance,
    )  # fmt: skip


def _conditional_bits(table: np.ndarray) -> float:
    """Entropy in bits of the column given the row; 0 for no items."""
    total = table.sum()
    if not total:
        return 0.0
    rows = np.broadcast_to(table.sum(1, keepdims=True), table.shape)[table > 0]
    cells = table[table > 0]
    return float(-(cells / total * np.log2(cells / rows)).sum())


def neighbours_kept(
    before: Real[np.ndarray, "item item"], after: Real[np.ndarray, "other other"], k: int = NEIGHBOURS, *, seed: int = 0
) -> tuple[Score, float]:
    """Which share of an item's k nearest by one layer's codes are among its k nearest by the other's?

    Ties at the k-th place are shared out: an item at the tied distance counts with the share of the places left. The
    interval resamples items.

    Args:
        before, after: distances of all pairs of the same items.

    Returns:
        the share, in [0, 1] (1: neighbourhoods flow on whole), and that of codes in random order, ``k / (n - 1)``.

    Raises `UserError` for matrices of other items, and for k outside 1..n - 2.
    """
    before, after = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    n = len(before)
    if before.shape != (n, n) or after.shape != (n, n):
        raise UserError(f"expected distances of the same items; got {before.shape} and {after.shape}")
    if not 1 <= k <= n - 2:
        raise UserError(f"expected 1 to {n - 2} neighbours of {n} items; got {k}; take fewer, or more items")
    kept = (_nearest(before, k) * _nearest(after, k)).sum(1) / k
    return bootstrap_mean(kept, minimum_groups=MINIMUM_ITEMS, seed=seed, method="percentile"), k / (n - 1)


def _nearest(distance: np.ndarray, k: int) -> np.ndarray:
    """Membership in each item's k nearest ``[item item]``, in [0, 1], rows summing to k."""
    off = np.where(np.eye(len(distance), dtype=bool), np.inf, distance)
    reach = np.sort(off, axis=1)[:, k - 1 : k]
    inside, tied = off < reach, off == reach
    return inside + tied * (k - inside.sum(1, keepdims=True)) / tied.sum(1, keepdims=True)
