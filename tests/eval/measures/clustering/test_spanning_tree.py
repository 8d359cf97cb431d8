"""Core distances, Boruvka on a neighbour graph and the joining passes against SciPy's tree of the whole graph."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial.distance import cdist

from eval.measures.clustering import spanning_tree as trees
from eval.measures.clustering.euclidean_neighbours import EuclideanMetric
from eval.measures.clustering.spanning_tree import _boruvka, _known_edges, _tree_of_components, core_distances


def test_the_core_distance_counts_the_item_itself():
    distances = np.array([[1, 2, 4], [3, 5, 6]])
    assert [core_distances(distances, m).tolist() for m in (0, 1, 2, 3, 4, 9)] == [
        [0, 0], [0, 0], [1, 3], [2, 5], [4, 6], [4, 6],
    ]  # fmt: skip
    assert core_distances(np.zeros((3, 0)), 5).tolist() == [0, 0, 0]


@pytest.mark.parametrize("most", [1, 3, 2048])
@pytest.mark.parametrize(("min_samples", "k"), [(1, 1), (2, 3), (5, 4)])
def test_the_tree_is_that_of_the_whole_graph_however_it_is_joined(
    most: int, min_samples: int, k: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trees, "MAXIMUM_COMPONENTS", most)
    generator = np.random.default_rng(k)
    points = np.concatenate([generator.normal(size=(6, 2)) + 20 * place for place in range(5)])
    metric = EuclideanMetric(points)
    distances, indices, reach = metric.nearest(k)
    tree = trees.spanning_tree(distances, indices, reach, min_samples, metric)
    full = cdist(points, points)
    core = np.sort(full, 1)[:, min_samples - 1]
    weights = np.maximum(np.maximum(full, core[:, None]), core[None])
    assert tree.weight == pytest.approx(minimum_spanning_tree(weights).sum(), rel=1e-12)
    np.testing.assert_allclose(tree.core, core, rtol=1e-12)
    np.testing.assert_allclose(tree.weights, weights[tree.ends[:, 0], tree.ends[:, 1]], rtol=1e-12)
    assert (np.diff(tree.weights) >= 0).all() and len(tree.weights) == 29 and tree.n_joined >= 5
    graph = np.zeros((30, 30))
    graph[tree.ends[:, 0], tree.ends[:, 1]] = 1
    assert connected_components(graph, directed=False)[0] == 1


def test_no_item_and_one_item_have_no_edges():
    for n in (0, 1):
        metric = EuclideanMetric(np.zeros((n, 2)))
        tree = trees.spanning_tree(*metric.nearest(3), 2, metric)
        assert len(tree.weights) == 0 and tree.weight == 0 and tree.n_joined == n


def test_an_edge_heavier_than_what_the_graph_may_lack_is_not_taken():
    """0-1 at 1 and 2-3 at 1; the edge 1-2 of weight 5 is known, but pairs at 3 may be missing."""
    left, right, weight = np.array([0, 2, 1]), np.array([1, 3, 2]), np.array([1.0, 1.0, 5.0])
    component = np.arange(4)
    picked = _boruvka(left, right, weight, np.full(4, 3.0), component)
    assert sorted(picked.tolist()) == [0, 1] and component.tolist() == [0, 0, 1, 1]
    component = np.arange(4)
    assert sorted(_boruvka(left, right, weight, np.full(4, 5.0), component).tolist()) == [0, 1, 2]
    assert component.tolist() == [0, 0, 0, 0]
    component = np.arange(4)
    bounds = np.array([9.0, 9.0, 9.0, 3.0])  # one member that knows less holds its component back, not the other
    assert sorted(_boruvka(left, right, weight, bounds, component).tolist()) == [0, 1, 2]
    bounds = np.array([3.0, 9.0, 9.0, 3.0])
    assert sorted(_boruvka(left, right, weight, bounds, np.arange(4)).tolist()) == [0, 1]


def test_items_know_their_lightest_edge_that_leaves_the_component():
    component, core = np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 0.0, 3.0])
    distances, indices = np.array([[1, 2], [1, 4], [2, 5], [5, 6]]), np.array([[1, 2], [0, 2], [0, 1], [0, 1]])
    weight, partner = np.array([1.0, np.inf, 1.5, 9.0]), np.array([1, -1, 1, 0])
    _known_edges(component, core, distances, indices, weight, partner)
    assert weight.tolist() == [2, 4, 1.5, 5] and partner.tolist() == [2, 2, 1, 0]
    _known_edges(component, np.full(4, 7.0), distances, indices, weight, partner)
    assert weight.tolist() == [2, 4, 1.5, 5]  # a heavier edge replaces none


def test_components_at_distance_zero_are_joined():
    best = np.array([[0, 0.0, 3.0], [0, 0, 2.0], [0, 0, 0]])
    ends = np.arange(18).reshape(2, 3, 3)
    found, weights = _tree_of_components(best, ends)
    assert sorted(zip(weights.tolist(), found.tolist(), strict=True)) == [(0.0, [1, 10]), (2.0, [5, 14])]
