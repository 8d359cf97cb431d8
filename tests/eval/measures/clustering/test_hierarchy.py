"""Merges and condensing by hand, on trees small enough to draw."""

from __future__ import annotations

import numpy as np
import pytest

from eval.measures.clustering.hierarchy import _collapse, condense, merge_events
from eval.measures.clustering.selection import assign, select_clusters

LINE = np.array([[0, 1], [1, 2], [3, 4], [2, 3]])
"""Five items on a line; 0-1-2 close together, 3-4 as well."""


def test_equal_merges_are_one_event_and_larger_ones_stand_above():
    parent, height, size = merge_events(LINE, np.array([1.0, 1.0, 2.0, 5.0]), 5)
    alias = _collapse(parent, height, 5)
    assert parent.tolist() == [5, 5, 5, 6, 6, 7, 7, -1]
    assert height.tolist() == [0, 0, 0, 0, 0, 1, 2, 5] and size.tolist() == [1, 1, 1, 1, 1, 3, 2, 5]
    assert not alias.any()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 1, 2], [0, 2, 3, 1], [1, 2, 3, 0], [2, 3, 1, 0]])
def test_one_weight_throughout_is_one_event(order: list[int]):
    parent, height, size = merge_events(LINE[order], np.full(4, 3.0), 5)
    alias = _collapse(parent, height, 5)
    (root,) = np.flatnonzero(parent < 0)
    assert (parent[:5] == root).all() and size[root] == 5 and height[root] == 3
    assert not alias[root] and (parent[np.flatnonzero(alias)] == root).all() and alias.sum() == len(parent) - 6


def test_a_split_of_two_large_children_makes_two_clusters():
    """0-1-2 at distance 1 and 3-4-5 at distance 2, 4 apart; 6 alone at 8."""
    ends = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [2, 3], [5, 6]])
    tree = condense(ends, np.array([1.0, 1.0, 2.0, 2.0, 4.0, 8.0]), 7, 3)
    assert tree.parent.tolist() == [-1, 0, 0] and tree.size.tolist() == [7, 3, 3]
    assert tree.birth.tolist() == [0, 0.25, 0.25]
    one, two = (int(tree.last_cluster[i]) for i in (0, 3))
    assert {one, two} == {1, 2} and tree.last_cluster.tolist() == [one] * 3 + [two] * 3 + [0]
    assert tree.leave.tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 0.125]
    assert tree.stability[0] == pytest.approx(0.125 + 6 * 0.25)
    assert tree.stability[one] == pytest.approx(3 * 0.75) and tree.stability[two] == pytest.approx(3 * 0.25)
    selected = select_clusters(tree)
    assert selected.tolist() == [False, True, True]
    labels, strength = assign(tree, selected)
    assert labels.tolist() == [one] * 3 + [two] * 3 + [-1] and strength.tolist() == [1] * 6 + [0]


def test_a_cluster_that_loses_few_items_goes_on():
    """Item 3 leaves at distance 4, the core of three dissolves at distance 1; nothing splits."""
    tree = condense(np.array([[0, 1], [1, 2], [2, 3]]), np.array([1.0, 1.0, 4.0]), 4, 3)
    assert tree.parent.tolist() == [-1] and tree.last_cluster.tolist() == [0] * 4
    assert tree.leave.tolist() == [1, 1, 1, 0.25] and tree.stability.tolist() == [3.25]
    labels, strength = assign(tree, select_clusters(tree, allow_single_cluster=True))
    assert labels.tolist() == [0, 0, 0, -1] and strength.tolist() == [1, 1, 1, 0]
    assert not select_clusters(tree).any()


def test_duplicates_count_at_half_the_smallest_distance():
    tree = condense(np.array([[0, 1], [1, 2], [2, 3]]), np.array([0.0, 0.0, 4.0]), 4, 2)
    assert tree.leave.tolist() == [0.5, 0.5, 0.5, 0.25] and tree.stability.tolist() == [1.75]
    same = condense(np.array([[0, 1], [1, 2]]), np.zeros(2), 3, 2)
    assert same.leave.tolist() == [1, 1, 1]
