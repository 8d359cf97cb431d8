"""Neighbour lists and lightest outgoing edges of packed codes against whole distance matrices, for a few tiles."""

from __future__ import annotations

import numpy as np
import pytest

from eval.measures.clustering.hamming_neighbours import HammingMetric, _insert, _tile_summaries
from eval.measures.clustering.hamming_tiles import FAR, TILE


def few_bits(n: int, seed: int, n_words: int = 2) -> np.ndarray:
    """Codes with a quarter of their bits set, each code twice: ties everywhere."""
    one, two = np.random.default_rng(seed).integers(0, 2**64, (2, n, n_words), dtype=np.uint64)
    words = one & two
    words[n // 2 :] = words[: n - n // 2]
    return words


def distances_of(words: np.ndarray) -> np.ndarray:
    return np.bitwise_count(words[:, None] ^ words[None]).sum(-1).astype(int)


def test_a_list_stays_sorted_and_keeps_the_nearest():
    distances, indices = np.array([[2, 5, 9]], dtype=np.int32), np.array([[7, 8, 9]], dtype=np.int32)
    _insert(distances, indices, 0, 1, 9)  # no nearer than the last: left out
    assert indices.tolist() == [[7, 8, 9]]
    _insert(distances, indices, 0, 2, 5)  # after the one that is as near
    assert (distances.tolist(), indices.tolist()) == ([[2, 5, 5]], [[7, 8, 2]])
    _insert(distances, indices, 0, 3, 1)
    assert (distances.tolist(), indices.tolist()) == ([[1, 2, 5]], [[3, 7, 8]])
    _insert(distances, indices, 0, 4, 4)
    assert (distances.tolist(), indices.tolist()) == ([[1, 2, 4]], [[3, 7, 4]])


@pytest.mark.parametrize(("n", "k"), [(3, 1), (5, 4), (TILE, 3), (TILE + 1, 2), (2 * TILE + 3, 4)])
def test_lists_reach_and_floors_are_those_of_the_whole_matrix(n: int, k: int):
    words = few_bits(n, n)
    metric, full = HammingMetric(words, 2), distances_of(words)
    distances, indices, reach = metric.nearest(k)
    others = full + 10**6 * np.eye(n, dtype=int)
    assert (distances == np.sort(others, 1)[:, :k]).all() and distances.shape == (n, k)
    assert (np.take_along_axis(others, indices, 1) == distances).all()
    assert all(len(set(row)) == k for row in indices.tolist())
    assert (reach == (np.inf if k == n - 1 else distances[:, -1])).all()
    tiles = [range(start, min(start + TILE, n)) for start in range(0, n, TILE)]  # few items: in their own order
    least = [[others[np.ix_(a, b)].min() for b in tiles] for a in tiles]
    assert (np.where(metric._floor == FAR, 10**6, metric._floor) == np.minimum(least, 10**6)).all()


def test_one_item_has_no_neighbours_and_k_is_cut():
    distances, indices, reach = HammingMetric(few_bits(1, 0), 2).nearest(3)
    assert distances.shape == indices.shape == (1, 0) and reach.tolist() == [np.inf]
    assert HammingMetric(few_bits(4, 0), 2).nearest(9)[0].shape == (4, 3)
    assert HammingMetric(few_bits(4, 0), 2).nearest(0)[2].tolist() == [np.inf] * 4


@pytest.mark.parametrize("n", [2 * TILE + 3, 2 * TILE + 4])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("n_components", [2, 7])
def test_every_component_learns_its_lightest_outgoing_edge(n: int, known: bool, n_components: int):
    generator = np.random.default_rng(n + n_components)
    words, component = few_bits(n, 1), np.sort(generator.integers(0, n_components, n))
    component[generator.integers(0, n, 5)] = n_components - 1
    core = generator.integers(10, 32, n).astype(float)
    metric, full = HammingMetric(words, 2), distances_of(words).astype(float)
    metric.nearest(2)
    edges = np.maximum(np.maximum(full, core[:, None]), core[None])
    edges[component[:, None] == component[None]] = np.inf
    weight, partner, bound = np.full(n, np.inf), np.full(n, -1, dtype=np.int64), np.zeros(n)
    if known:  # some items know an edge, not always their lightest
        for i in generator.choice(n, 20, replace=False):
            j = generator.choice(np.flatnonzero(np.isfinite(edges[i])))
            weight[i], partner[i] = edges[i, j], j
    metric.nearest_outside(core, component, bound, weight, partner)
    has = partner >= 0
    assert (weight[has] == edges[np.flatnonzero(has), partner[has]]).all() and np.isinf(weight[~has]).all()
    for one in range(n_components):
        lightest = edges[component == one].min()
        assert weight[component == one].min() == lightest
        unknown = np.minimum(edges[component == one].min(1), np.inf)
        assert (np.minimum(bound[component == one], lightest) <= unknown).all()
    assert bound.max() > 0


def test_a_bound_above_the_known_edge_spares_the_comparison():
    n = TILE + 2
    words, component = few_bits(n, 2), np.repeat([0, 1], n // 2)
    metric = HammingMetric(words, 2)
    metric.nearest(2)
    weight, partner = np.full(n, np.inf), np.full(n, -1, dtype=np.int64)
    weight[[0, n - 1]], partner[[0, n - 1]] = 1.0, [n - 1, 0]
    metric.nearest_outside(np.zeros(n), component, np.full(n, 2.0), weight, partner)
    assert np.isinf(weight[1:-1]).all() and weight[[0, -1]].tolist() == [1.0, 1.0]


def test_a_tile_is_summed_up_by_its_component_and_its_densest_item():
    core = np.full(2 * TILE + 1, 5.0)
    core[[3, TILE + 9]] = 1.0
    component = np.zeros(2 * TILE + 1, dtype=np.int64)
    component[TILE + 1] = 4
    component[-1] = 2
    assert _tile_summaries(core, component).tolist() == [[0, 3], [-1, TILE + 9], [2, 2 * TILE]]
