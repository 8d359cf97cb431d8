"""The approximate metric around its index: exact recounts, missing neighbours, representatives; without pynndescent."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from eval.errors import UserError
from eval.measures.clustering.approximate_neighbours import ApproximateMetric

POINTS = np.random.default_rng(0).normal(size=(30, 3)) + 1e6


class Index:
    """Stands in for pynndescent: what it is asked, and neighbours in falling order, one of them missing."""

    asked: dict = {}

    def __init__(self, data: np.ndarray, **words) -> None:
        Index.asked = {"data": data, **words}
        self.n = words["n_neighbors"]
        spread = data.astype(float)
        order = np.argsort(cdist(spread, spread), axis=1, kind="stable")[:, : self.n]
        order[3, 1] = -1
        self.neighbor_graph = order[:, ::-1], None


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> type[Index]:
    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=Index))
    return Index


def test_found_neighbours_are_measured_again_and_sorted(index: type[Index]):
    distances, indices, reach = ApproximateMetric.of_points(POINTS, seed=5).nearest(4)
    assert (index.asked["metric"], index.asked["n_neighbors"], index.asked["random_state"]) == ("euclidean", 5, 5)
    assert index.asked["data"].dtype == np.float32 and abs(index.asked["data"].mean(0)).max() < 1e-6
    full = cdist(POINTS, POINTS)
    expected = np.sort(full, 1)[:, 1:5]
    rows = np.arange(30) != 3
    np.testing.assert_allclose(distances[rows], expected[rows], rtol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(full, indices, 1), distances, rtol=1e-6)
    missed = np.sort(full[3])[[2, 3, 4, 4]]  # the nearest is missing; the farthest stands in for it
    np.testing.assert_allclose(distances[3], missed, rtol=1e-6)
    assert np.isinf(reach).all()


def test_more_neighbours_than_items_are_cut(index: type[Index]):
    assert ApproximateMetric.of_points(POINTS[:5]).nearest(9)[0].shape == (5, 4) and index.asked["n_neighbors"] == 5


def test_codes_are_indexed_by_bytes_and_counted_with_half_symbols(index: type[Index]):
    words = np.random.default_rng(0).integers(0, 2**64, (12, 2), dtype=np.uint64)
    metric = ApproximateMetric.of_codes(words, 1)
    distances, indices, _ = metric.nearest(11)
    assert index.asked["metric"] == "bit_hamming" and index.asked["data"].shape == (12, 16)
    bits = np.bitwise_count(words[:, None] ^ words[None]).astype(int)
    full = bits[..., 0] + bits[..., 1] // 2
    rows = np.arange(12) != 3
    assert (distances[rows] == np.sort(full + 10**6 * np.eye(12, dtype=int), 1)[rows, :11]).all()
    assert (np.take_along_axis(full, indices, 1) == distances).all()


def test_without_the_package_the_cure_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(UserError, match=r"clustering 30 items approximately needs pynndescent; install neural-codes"):
        ApproximateMetric.of_points(POINTS).nearest(3)


def components() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three interleaved components, the four densest members of each, and all edges between those."""
    component, core = np.arange(30) % 3, np.random.default_rng(1).permutation(30) / 10
    chosen = np.concatenate([np.flatnonzero(component == c)[np.argsort(core[component == c])[:4]] for c in range(3)])
    edges = np.full((30, 30), np.inf)
    whole = np.maximum(cdist(POINTS, POINTS), np.maximum(core[:, None], core[None]))
    edges[np.ix_(chosen, chosen)] = whole[np.ix_(chosen, chosen)]
    edges[component[:, None] == component[None]] = np.inf
    return component, core, edges


def test_components_are_joined_through_their_four_densest_members():
    component, core, edges = components()
    best, ends = np.full((3, 3), np.inf), np.zeros((2, 3, 3), dtype=np.int64)
    best[0, 2] = 1e-3
    ApproximateMetric.of_points(POINTS).closest_between_components(core, component, best, ends[0], ends[1])
    for c, d in ((0, 1), (1, 2)):
        i, j = ends[:, c, d]
        assert best[c, d] == pytest.approx(edges[np.ix_(component == c, component == d)].min(), rel=1e-6)
        assert edges[i, j] == pytest.approx(best[c, d], rel=1e-6) and (component[i], component[j]) == (c, d)
    assert best[0, 2] == 1e-3 and np.isinf(best[np.tril_indices(3)]).all()


def test_the_lightest_edges_of_the_densest_members_leave_the_component():
    component, core, edges = components()
    weight, partner = np.full(30, np.inf), np.full(30, -1, dtype=np.int64)
    dense = np.flatnonzero(np.isfinite(edges).any(1))
    weight[dense[0]], partner[dense[0]] = 1e-3, 29
    ApproximateMetric.of_points(POINTS).nearest_outside(core, component, np.zeros(30), weight, partner)
    assert (np.flatnonzero(partner >= 0) == dense).all() and weight[dense[0]] == 1e-3 and partner[dense[0]] == 29
    np.testing.assert_allclose(weight[dense[1:]], edges[dense[1:]].min(1), rtol=1e-6)
    np.testing.assert_allclose(edges[dense[1:], partner[dense[1:]]], weight[dense[1:]], rtol=1e-6)
