"""Selection and membership by hand, on trees small enough to draw."""

from __future__ import annotations

import numpy as np
import pytest

from eval.measures.clustering.hierarchy import Condensed
from eval.measures.clustering.selection import assign, select_clusters


def tree_of(parent: list[int], stability: list[float]) -> Condensed:
    n = len(parent)
    none = np.zeros(0)
    return Condensed(np.array(parent), np.zeros(n), np.ones(n, int), np.array(stability, float), none.astype(int), none)


@pytest.mark.parametrize(
    ("stability", "selected"),
    [
        ([9, 3, 3, 1, 1], [1, 2]),  # a parent above the sum of its children
        ([9, 3, 3, 2, 2], [2, 3, 4]),  # below it
        ([9, 3, 3, 1.5, 1.5], [1, 2]),  # a tie keeps the larger cluster
    ],
)
def test_the_largest_total_stability_is_selected(stability: list[float], selected: list[int]):
    tree = tree_of([-1, 0, 0, 1, 1], stability)
    assert np.flatnonzero(select_clusters(tree)).tolist() == selected
    assert np.flatnonzero(select_clusters(tree, method="leaf")).tolist() == [2, 3, 4]
    assert np.flatnonzero(select_clusters(tree, allow_single_cluster=True)).tolist() == [0]


def test_what_is_below_counts_as_its_best_selection():
    """Three generations: the children of 1 win with 4 against 3, so the root has 4 + 3 below it."""
    tree = tree_of([-1, 0, 0, 1, 1], [6.5, 3, 3, 2, 2])
    assert np.flatnonzero(select_clusters(tree, allow_single_cluster=True)).tolist() == [2, 3, 4]
    tree = tree_of([-1, 0, 0, 1, 1], [7.5, 3, 3, 2, 2])
    assert np.flatnonzero(select_clusters(tree, allow_single_cluster=True)).tolist() == [0]


def test_only_a_root_that_is_a_leaf_is_selected_by_itself():
    assert select_clusters(tree_of([-1], [1.0]), method="leaf", allow_single_cluster=True).tolist() == [True]
    assert select_clusters(tree_of([-1], [1.0]), method="leaf").tolist() == [False]


def test_membership_is_the_share_of_the_longest_stay_in_the_cluster_itself():
    """Cluster 1 splits at lambda 2.5: who stays to the split is a full member, as in `hdbscan` and scikit-learn."""
    last, leave = np.array([1, 3, 4, 2, 0]), np.array([2.0, 3.0, 4.0, 5.0, 1.0])
    birth = np.array([0, 1.0, 1.0, 2.5, 2.5])
    tree = Condensed(np.array([-1, 0, 0, 1, 1]), birth, np.ones(5, int), np.zeros(5), last, leave)
    labels, strength = assign(tree, np.array([False, True, True, False, False]))
    assert labels.tolist() == [1, 1, 1, 2, -1] and strength.tolist() == [0.8, 1, 1, 1, 0]
    at_birth = Condensed(np.array([-1, 0]), np.zeros(2), np.ones(2, int), np.zeros(2), np.array([1, 1]), np.zeros(2))
    assert assign(at_birth, np.array([False, True]))[1].tolist() == [1, 1]  # nothing to divide by


def test_the_root_keeps_what_is_left_at_its_last_event():
    last, leave = np.array([0, 0, 1, 2]), np.array([1.0, 2.0, 6.0, 7.0])
    tree = Condensed(np.array([-1, 0, 0]), np.array([0, 2.0, 2.0]), np.ones(3, int), np.zeros(3), last, leave)
    labels, _ = assign(tree, np.array([True, False, False]))
    assert labels.tolist() == [-1, 0, 0, 0]


def test_epsilon_merges_what_comes_apart_below_it():
    """1 and 2 are born at distance 10, 3 and 4 (within 1) at distance 2."""
    birth = np.array([0, 0.1, 0.1, 0.5, 0.5])
    none = np.zeros(0)
    tree = Condensed(
        np.array([-1, 0, 0, 1, 1]), birth, np.ones(5, int), np.array([9.0, 3, 3, 2, 2]), none.astype(int), none
    )
    assert np.flatnonzero(select_clusters(tree)).tolist() == [2, 3, 4]
    assert np.flatnonzero(select_clusters(tree, epsilon=1.0)).tolist() == [2, 3, 4]
    assert np.flatnonzero(select_clusters(tree, epsilon=3.0)).tolist() == [1, 2]
    assert np.flatnonzero(select_clusters(tree, epsilon=20.0)).tolist() == [1, 2]  # the root is no cluster
