"""Neighbours, closest pairs and lightest edges of points against SciPy's whole distance matrix, in small blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from eval.measures.clustering import euclidean_neighbours
from eval.measures.clustering.euclidean_neighbours import SPARE, EuclideanMetric


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(euclidean_neighbours, "BLOCK", 7)


def points_of(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)) + 10


@pytest.mark.parametrize(("n", "k"), [(2, 1), (6, 5), (7, 3), (13, 4), (40, 5), (40, 39), (14, 12)])
def test_neighbours_are_the_nearest_and_reach_is_below_what_is_left_out(n: int, k: int):
    points = points_of(n)
    distances, indices, reach = EuclideanMetric(points).nearest(k)
    full = cdist(points, points)
    others = np.where(np.eye(n, dtype=bool), np.inf, full)
    assert distances.shape == (n, k)
    np.testing.assert_allclose(distances, np.sort(others, 1)[:, :k], rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(others, indices, 1), distances, rtol=1e-12)
    if k == n - 1:
        assert np.isinf(reach).all()
    else:
        np.testing.assert_allclose(reach, distances[:, -1], rtol=1e-6)
        assert (reach <= distances[:, -1]).all()


def test_nothing_is_asked_of_one_point_or_no_neighbour():
    for n, k in ((1, 3), (5, 0), (5, -1)):
        distances, indices, reach = EuclideanMetric(points_of(n)).nearest(k)
        assert distances.shape == indices.shape == (n, 0) and np.isinf(reach).all()
    assert EuclideanMetric(points_of(5)).nearest(99)[0].shape == (5, 4) and SPARE == 8


def components_and_edges(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    points, component = points_of(n, seed), generator.integers(0, 4, n)
    component[:4] = range(4)
    core = generator.uniform(0, 1.5, n)
    edges = np.maximum(np.maximum(cdist(points, points), core[:, None]), core[None])
    return points, component, core, np.where(component[:, None] == component[None], np.inf, edges)


@pytest.mark.parametrize("seed", range(4))
def test_the_lightest_edge_between_any_two_components(seed: int):
    points, component, core, edges = components_and_edges(45, seed)
    best, ends = np.full((4, 4), np.inf), np.zeros((2, 4, 4), dtype=np.int64)
    best[0, 1] = 1e-3  # already known: it stays
    EuclideanMetric(points).closest_between_components(core, component, best, ends[0], ends[1])
    for c in range(4):
        for d in range(c + 1, 4):
            if (c, d) == (0, 1):
                assert best[c, d] == 1e-3 and not ends[:, c, d].any()
                continue
            assert best[c, d] == pytest.approx(edges[np.ix_(component == c, component == d)].min(), rel=1e-12)
            i, j = ends[:, c, d]
            assert (component[i], component[j]) == (c, d) and edges[i, j] == pytest.approx(best[c, d], rel=1e-12)
    assert np.isinf(best[np.tril_indices(4)]).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_lightest_edge_out_of_each_component(seed: int):
    points, component, core, edges = components_and_edges(45, seed)
    weight, partner = np.full(45, np.inf), np.full(45, -1, dtype=np.int64)
    weight[2], partner[2] = 1e-3, 0  # the component of item 2 knows a lighter one
    EuclideanMetric(points).nearest_outside(core, component, np.zeros(45), weight, partner)
    for c in range(4):
        members = component == c
        expected = 1e-3 if c == component[2] else edges[members].min()
        assert weight[members].min() == pytest.approx(expected, rel=1e-12)
    known = np.flatnonzero((partner >= 0) & (np.arange(45) != 2))
    np.testing.assert_allclose(weight[known], edges[known, partner[known]], rtol=1e-12)
    assert (component[partner[known]] != component[known]).all() and len(known) >= 3


def test_only_blocks_on_and_above_the_diagonal_are_made_where_that_is_enough():
    metric = EuclideanMetric(points_of(40))
    whole, upper = np.full((40, 40), np.nan), np.full((40, 40), np.nan)
    for place, half in ((whole, False), (upper, True)):
        for i, j, squared in metric._blocks(upper=half):
            place[i : i + squared.shape[0], j : j + squared.shape[1]] = squared
    np.testing.assert_allclose(whole, cdist(metric.points, metric.points) ** 2, atol=1e-9)
    assert np.isfinite(upper[np.triu_indices(40)]).all() and np.isnan(upper[39, 0])
