"""Exact, tie-invariant HDBSCAN against brute-force Prim, SciPy single linkage, scikit-learn and planted clusters."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist, squareform
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

from eval.errors import UserError
from eval.measures.clustering import spanning_tree as trees
from eval.measures.clustering.clusters import cluster_codes, cluster_points
from eval.measures.clustering.euclidean_neighbours import EuclideanMetric
from eval.measures.clustering.hamming_neighbours import HammingMetric, tournament
from eval.measures.clustering.hierarchy import _collapse, merge_events
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes
from eval.measures.codes.popcount import popcount


def codes_of(bits):
    code_map = CodeMap((CodePart("a", "relu", (bits.shape[1],)),), "x", "tiny")
    return SplineCodes.hard(code_map, {"a": np.where(bits, 1.0, -1.0).astype(np.float32)})


def planted_bits(n, n_bits, n_clusters, flip=0.15, seed=0):
    generator = np.random.default_rng(seed)
    centres = generator.random((n_clusters, n_bits)) < 0.5
    truth = generator.integers(0, n_clusters, n)
    return centres[truth] ^ (generator.random((n, n_bits)) < flip), truth


def few_values(n, seed):
    """Bits of few dimensions: duplicates and massive ties."""
    generator = np.random.default_rng(seed)
    return generator.random((n, int(generator.integers(3, 40)))) < generator.uniform(0.05, 0.5)


def mutual_reachability(distances, min_samples):
    core = np.sort(distances, axis=1)[:, min(min_samples, len(distances)) - 1]
    whole = np.maximum(distances, np.maximum(core[:, None], core[None]))
    np.fill_diagonal(whole, 0)
    return whole


def prim_weight(weights):
    """A full Prim, the textbook way."""
    n = len(weights)
    reached, best, total = np.zeros(n, dtype=bool), np.full(n, np.inf), 0.0
    best[0] = 0
    for _ in range(n):
        i = int(np.where(reached, np.inf, best).argmin())
        reached[i], total = True, total + best[i]
        best = np.minimum(best, weights[i])
    return total


@numba.njit
def distance_of(a, b):
    bits = 0
    for w in range(len(a)):
        bits += popcount(a[w] ^ b[w])
    return bits


@numba.njit
def prim_of_codes(words, min_samples):
    """A full Prim that computes every distance where it needs it, for sets too large for a matrix."""
    n = len(words)
    core, row = np.empty(n), np.empty(n)
    for i in range(n):
        for j in range(n):
            row[j] = distance_of(words[i], words[j])
        core[i] = np.partition(row, min_samples - 1)[min_samples - 1]
    reached, best, total, i = np.zeros(n, dtype=np.bool_), np.full(n, np.inf), 0.0, 0
    for _ in range(n - 1):
        reached[i] = True
        for j in range(n):
            if not reached[j]:
                best[j] = min(best[j], max(core[i], core[j], float(distance_of(words[i], words[j]))))
        i = int(np.argmin(np.where(reached, np.inf, best)))
        total += best[i]
    return total


def tree_of(metric, min_samples, k):
    distances, indices, reach = metric.nearest(max(k, min_samples - 1))
    return trees.spanning_tree(distances, indices, reach, min_samples, metric)


def tree_heights(ends, weights, n):
    """At which height two items meet in the hierarchy, all pairs."""
    parent, height, _ = merge_events(ends, weights, n)
    _collapse(parent, height, n)
    above = []
    for i in range(n):
        path, node = {}, i
        while node >= 0:
            path[node] = height[node]
            node = parent[node]
        above.append(path)
    return np.array([[min(h for node, h in a.items() if node in b) for b in above] for a in above])


def test_tournament_holds_every_pair_once_and_no_tile_twice_in_a_round():
    for size in (1, 2, 5, 8):
        rounds = tournament(size)
        pairs = [tuple(sorted(map(int, g))) for r in rounds for g in r if g[0] >= 0]
        assert len(set(pairs)) == len(pairs) == size * (size - 1) // 2
        for r in rounds:
            played = r[r >= 0]
            assert len(np.unique(played)) == len(played)


@pytest.mark.parametrize(("n", "n_bits"), [(2, 70), (3, 5), (97, 130), (301, 2000), (515, 300)])
def test_nearest_codes_are_those_of_the_full_matrix(n, n_bits):
    codes = codes_of(planted_bits(n, n_bits, 4)[0])
    distances, indices, _ = HammingMetric(codes.words, codes.map.symbol_word).nearest(16)
    full = codes.hamming_matrix()
    expected = np.sort(np.where(np.eye(n, dtype=bool), 10**6, full), axis=1)[:, : min(16, n - 1)]
    assert (distances == expected).all()
    assert (np.take_along_axis(full, indices, 1) == distances).all() and (indices != np.arange(n)[:, None]).all()


def test_categorical_codes_have_exact_neighbours():
    generator = np.random.default_rng(0)
    parts = CodePart("a", "relu", (100,)), CodePart("p", "max_pool", (60,), symbols=5)
    values = {"a": generator.normal(size=(550, 100)), "p": generator.integers(0, 5, (550, 60))}
    codes = SplineCodes.hard(CodeMap(parts, "x", "tiny"), values)
    metric = HammingMetric(codes.words, codes.map.symbol_word)
    full = codes.hamming_matrix()
    assert full[0, 1] == (codes.hamming(codes[np.roll(np.arange(550), -1)]))[0]
    assert (metric.nearest(5)[0] == np.sort(full + 10**6 * np.eye(550, dtype=int), axis=1)[:, :5]).all()
    assert tree_of(metric, 4, 5).weight == prim_weight(mutual_reachability(full, 4))


@pytest.mark.parametrize("n", [1000, 5000])
@pytest.mark.parametrize("kind", ["planted", "uniform"])
def test_spanning_tree_of_9216_bits_weighs_what_a_full_prim_finds(n, kind):
    generator = np.random.default_rng(n)
    words, once, twice = (generator.integers(0, 2**64, (n, 144), dtype=np.uint64) for _ in range(3))
    if kind == "planted":  # 20 centres, a quarter of whose bits are cleared at random
        words = words[generator.integers(0, 20, n)] & (once | twice)
    assert distance_of(words[0], words[1]) == np.bitwise_count(words[0] ^ words[1]).sum()
    tree = tree_of(HammingMetric(words, 144), 20, 16)
    assert tree.weight == prim_of_codes(words, 20)


@pytest.mark.parametrize(("n", "min_samples", "k"), [(1001, 10, 16), (600, 1, 1), (700, 3, 2)])
@pytest.mark.parametrize("kind", ["planted", "unstructured", "tied"])
def test_spanning_tree_of_many_tiles_weighs_what_prim_finds(n, min_samples, k, kind):
    if kind == "tied":  # so few bits that most codes are equal to others
        bits = few_values(n, 3)
    else:
        bits = planted_bits(n, 256, 12, 0.3)[0] if kind == "planted" else planted_bits(n, 90, 1, 0.5)[0]
    codes = codes_of(bits)
    tree = tree_of(HammingMetric(codes.words, codes.map.symbol_word), min_samples, k)
    ends = codes.hamming_matrix()[tree.ends[:, 0], tree.ends[:, 1]]
    assert (tree.weights == np.maximum(ends, tree.core[tree.ends].max(1))).all()
    assert tree.weight == prim_weight(mutual_reachability(codes.hamming_matrix(), min_samples))


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 60), st.integers(1, 8), st.integers(1, 6), st.integers(0, 10**6))
def test_hierarchy_of_tied_codes_is_single_linkage(n, min_samples, k, seed):
    bits = few_values(n, seed)
    codes = codes_of(bits)
    tree = tree_of(HammingMetric(codes.words, codes.map.symbol_word), min_samples, k)
    reach = mutual_reachability(codes.hamming_matrix().astype(float), min_samples)
    expected = squareform(cophenet(linkage(squareform(reach), "single")))
    assert tree.weight == prim_weight(reach)
    assert (tree_heights(tree.ends, tree.weights, n) == expected).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(5, 60), st.integers(1, 5), st.integers(0, 10**6))
def test_a_full_boruvka_round_keeps_the_tree_minimal(n, min_samples, seed):
    limit, trees.MAXIMUM_COMPONENTS = trees.MAXIMUM_COMPONENTS, 3
    try:
        codes, points = codes_of(few_values(n, seed)), np.random.default_rng(seed).normal(size=(n, 3))
        tree = tree_of(HammingMetric(codes.words, codes.map.symbol_word), min_samples, 1)
        euclidean = tree_of(EuclideanMetric(points), min_samples, 1)
    finally:
        trees.MAXIMUM_COMPONENTS = limit
    assert tree.weight == prim_weight(mutual_reachability(codes.hamming_matrix(), min_samples))
    assert euclidean.weight == pytest.approx(prim_weight(mutual_reachability(cdist(points, points), min_samples)))


@pytest.mark.parametrize("spread", [1.0, 1e-4])
def test_euclidean_tree_weighs_what_prim_finds_also_far_from_the_origin(spread):
    generator = np.random.default_rng(0)
    points = 1000.0 + spread * (
        generator.normal(size=(8, 20))[generator.integers(0, 8, 400)] * 3 + generator.normal(size=(400, 20))
    )
    tree = tree_of(EuclideanMetric(points), 5, 16)
    assert tree.weight == pytest.approx(prim_weight(mutual_reachability(cdist(points, points), 5)), rel=1e-10)


def reference_clusters(reach, minimum, method):
    """HDBSCAN by definition: components of the graph below each level, all equal levels at once. The clusters, as sets.

    Exact fractions would be needed for ties of stability; the data below are such that none decides.
    """
    levels = np.unique(linkage(squareform(reach), "single")[:, 2])  # where components change, says SciPy
    smallest = levels[levels > 0][0] if (levels > 0).any() else 1.0

    def rate(level):
        return 1 / level if level > 0 else 2 / smallest

    def grow(items, birth, is_root):
        """Stability of the cluster born with `items`, and the selection at or below it."""
        stability, inside = 0.0, items
        for level in levels[levels <= reach[np.ix_(items, items)].max()][::-1]:
            _, part = connected_components(reach[np.ix_(inside, inside)] < level, directed=False)
            parts = [inside[part == p] for p in range(part.max() + 1)]
            big = [p for p in parts if len(p) >= minimum]
            stability += (len(inside) - (len(big[0]) if len(big) == 1 else 0)) * (rate(level) - birth)
            if len(big) == 1:
                inside = big[0]
                continue
            below = [grow(p, rate(level), False) for p in big]
            beaten = is_root or method == "leaf" or sum(b[0] for b in below) > stability * (1 + 1e-12)
            if below and beaten:
                return sum(b[0] for b in below), [c for b in below for c in b[1]]
            break
        return stability, [] if is_root else [frozenset(items.tolist())]

    return set(grow(np.arange(len(reach)), 0.0, True)[1])


def as_sets(labels):
    return {frozenset(np.flatnonzero(labels == c).tolist()) for c in range(labels.max() + 1)}


def blobs(seed, n=400):
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(6, 5)) * 2.5
    return centres[generator.integers(0, 6, n)] + generator.normal(size=(n, 5)) * generator.uniform(0.3, 1)


@pytest.mark.parametrize("method", ["eom", "leaf"])
@pytest.mark.parametrize("seed", [0, 1])
def test_points_without_ties_cluster_as_in_scikit_learn(method, seed):
    points = blobs(seed)
    options = {"min_cluster_size": 12, "min_samples": 1}
    oracle = HDBSCAN(cluster_selection_method=method, copy=True, **options).fit(points)
    assert as_sets(cluster_points(points, method=method, **options).labels) == as_sets(oracle.labels_)


@pytest.mark.parametrize("method", ["eom", "leaf"])
@pytest.mark.parametrize("seed", [0, 1])
def test_points_with_tied_core_distances_cluster_as_defined(method, seed):
    """A core distance is the weight of many edges; scikit-learn breaks such ties by row order, a definition cannot."""
    points = blobs(seed, 200)
    found = cluster_points(points, min_cluster_size=12, min_samples=6, method=method)
    expected = reference_clusters(mutual_reachability(cdist(points, points), 6), 12, method)
    assert as_sets(found.labels) == expected and len(expected) > 1


@settings(max_examples=30, deadline=None)
@given(
    st.integers(10, 60), st.integers(1, 5), st.integers(2, 6), st.sampled_from(["eom", "leaf"]), st.integers(0, 10**6)
)
def test_massively_tied_codes_cluster_as_defined(n, min_samples, minimum, method, seed):
    codes = codes_of(few_values(n, seed))
    reach = mutual_reachability(codes.hamming_matrix().astype(float), min_samples)
    if reach.max() == 0:
        return  # identical codes are one cluster: tested below
    found = cluster_codes(codes, min_cluster_size=minimum, min_samples=min_samples, method=method)
    assert as_sets(found.labels) == reference_clusters(reach, minimum, method)


def test_planted_codes_are_found_where_scikit_learn_finds_them():
    bits, truth = planted_bits(300, 600, 6, 0.2)
    found = cluster_codes(codes_of(bits), min_cluster_size=15)
    oracle = HDBSCAN(min_cluster_size=15, metric="hamming", copy=True).fit(bits.astype(float))
    assert adjusted_rand_score(truth, found.labels) == adjusted_rand_score(truth, oracle.labels_) == 1.0
    assert found.n_clusters == 6 and (np.diff(found.sizes) <= 0).all() and found.reason is None


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 120), st.integers(2, 6), st.integers(0, 10**6))
def test_labels_do_not_depend_on_the_row_order(n, min_cluster_size, seed):
    bits, order = few_values(n, seed), np.random.default_rng(seed).permutation(n)
    one = cluster_codes(codes_of(bits), min_cluster_size=min_cluster_size)
    two = cluster_codes(codes_of(bits[order]), min_cluster_size=min_cluster_size)
    assert (one.labels[order] == two.labels).all() and one.strength[order] == pytest.approx(two.strength)
    three = cluster_points(bits.astype(float), min_cluster_size=min_cluster_size)
    four = cluster_points(bits[order].astype(float), min_cluster_size=min_cluster_size)
    assert (three.labels[order] == four.labels).all()


def test_labels_of_many_tiles_do_not_depend_on_the_row_order():
    bits, truth = planted_bits(1200, 300, 9, 0.25)
    bits[:200] = few_values(200, 5)[:, :1]  # two codes, a hundred times or so each
    order = np.random.default_rng(1).permutation(len(bits))
    for method in ("eom", "leaf"):
        one = cluster_codes(codes_of(bits), min_cluster_size=10, method=method)
        two = cluster_codes(codes_of(bits[order]), min_cluster_size=10, method=method)
        assert one.n_clusters > 1 and (one.labels[order] == two.labels).all()


def test_a_three_way_tie_is_one_event():
    """Three groups equally far apart: a binary tree pairs two of them first, by row order."""
    blocks = np.repeat(np.eye(3, dtype=bool), 30, axis=1)
    bits = np.repeat(blocks, [3, 3, 20], axis=0)
    parent, height, size = merge_events(*_ends_and_weights(bits), len(bits))
    alias = _collapse(parent, height, len(bits))
    root = int(np.flatnonzero(parent < 0)[-1])
    children = [node for node in range(len(parent)) if parent[node] == root and not alias[node]]
    assert height[root] == 60 and sorted(size[children]) == [3, 3, 20]
    assert cluster_codes(codes_of(bits), min_cluster_size=5, min_samples=1).n_clusters == 0  # 3 + 3 is no cluster of 6


def _ends_and_weights(bits):
    codes = codes_of(bits)
    tree = tree_of(HammingMetric(codes.words, codes.map.symbol_word), 1, 16)
    return tree.ends, tree.weights


def test_degenerate_data_have_defined_answers():
    for n in (0, 1, 4):
        found = cluster_codes(codes_of(np.zeros((n, 10), dtype=bool)), min_cluster_size=5)
        assert found.n_clusters == 0 and (found.labels == -1).all() and len(found.labels) == n
        assert found.reason == f"{n} items; a cluster needs at least 5"
    same = cluster_codes(codes_of(np.ones((40, 10), dtype=bool)), min_cluster_size=5)
    assert same.n_clusters == 1 and (same.labels == 0).all() and (same.strength == 1).all()
    assert cluster_points(np.zeros((40, 3)), min_cluster_size=5).sizes.tolist() == [40]
    fewer = cluster_codes(codes_of(planted_bits(12, 50, 2)[0]), min_cluster_size=3, min_samples=50)
    assert len(fewer.labels) == 12  # more samples than items: the farthest item stands in


def test_an_outlier_of_a_single_cluster_is_noise():
    points = np.r_[np.random.default_rng(0).normal(size=(8, 2)), [[1e6, 1e6]]]
    found = cluster_points(points, min_cluster_size=3, min_samples=3, allow_single_cluster=True)
    assert found.n_clusters == 1 and found.labels[-1] == -1 and (found.labels[:8] == 0).any()
    assert found.sizes.tolist() == [(found.labels == 0).sum()] and found.strength[-1] == 0
    assert cluster_points(points, min_cluster_size=3, min_samples=3).labels[-1] == -1


@pytest.mark.parametrize("seed", range(12))
def test_single_clusters_are_those_of_hdbscan(seed):
    generator = np.random.default_rng(seed)
    n_blobs, spread = 1 + seed % 3, (0.5, 3.0)[seed % 2]
    points = np.concatenate([generator.normal(size=(40, 3)) + spread * 4 * k for k in range(n_blobs)])
    points = np.r_[points, 1e3 * generator.normal(size=(3, 3))]
    for size, samples in ((5, 5), (10, 3), (30, 10)):
        peer = HDBSCAN(min_cluster_size=size, min_samples=samples, allow_single_cluster=True, copy=True).fit(points)
        found = cluster_points(points, min_cluster_size=size, min_samples=samples, allow_single_cluster=True)
        assert found.n_clusters == peer.labels_.max() + 1
        assert adjusted_rand_score(peer.labels_, found.labels) == 1.0
        assert ((peer.labels_ == -1) == (found.labels == -1)).all()


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e9])
def test_core_distances_are_exact_at_any_offset(offset):
    points = np.random.default_rng(0).normal(size=(700, 5)) + offset
    spread = points - points[0]  # differences of float64 neighbours are exact
    expected = np.sort(cdist(spread, spread), axis=1)[:, 1:6]
    np.testing.assert_allclose(EuclideanMetric(points).nearest(5)[0], expected, rtol=1e-9)


def test_duplicates_do_not_beat_the_cluster_around_them():
    """Six copies in one planted cluster of 50: an infinite lambda would make them a cluster."""
    bits, truth = planted_bits(150, 400, 3, 0.15)
    bits[:6], truth[:6] = bits[0], truth[0]
    found = cluster_codes(codes_of(bits), min_cluster_size=5, min_samples=5)
    assert adjusted_rand_score(truth, found.labels) == 1.0


def test_soft_codes_cluster_by_their_gates():
    bits, truth = planted_bits(120, 60, 3, 0.1)
    code_map = CodeMap((CodePart("a", "gelu", (60,)),), "x", "tiny")
    found = cluster_codes(SplineCodes.soft(code_map, {"a": 0.2 + 0.6 * bits}), min_cluster_size=10)
    assert found.metric == "euclidean" and adjusted_rand_score(truth, found.labels) > 0.9


def test_bad_input_is_named():
    codes = codes_of(planted_bits(50, 64, 2)[0])
    with pytest.raises(UserError, match="expected min_cluster_size of at least 2; got 1"):
        cluster_codes(codes, min_cluster_size=1)
    with pytest.raises(UserError, match="expected method 'eom' or 'leaf'; got 'best'"):
        cluster_codes(codes, method="best")
    with pytest.raises(UserError, match=r"clustering 50 items needs about .* GB; got a budget of 1e-06 GB; take fewer"):
        cluster_codes(codes, max_memory_gb=1e-6)
    with pytest.raises(UserError, match="1 points hold NaN or infinity"):
        cluster_points(np.array([[0.0, np.nan], [1.0, 2.0]]))


def test_the_memory_asked_for_is_that_of_copies_lists_and_the_joining_table():
    codes = codes_of(planted_bits(200, 130, 2)[0])
    needed = (2 * 200 * 3 * 8 + 60 * 200 * 20 + 4 * 4**2) / 1e9  # three words; 20 neighbours; four tiles
    assert len(cluster_codes(codes, max_memory_gb=needed).labels) == 200
    with pytest.raises(UserError, match="clustering 200 items needs about"):
        cluster_codes(codes, max_memory_gb=needed - 1e-9)
    points = np.random.default_rng(0).normal(size=(200, 3))
    needed = (3 * 200 * 3 * 8 + 60 * 200 * 16 + 24 * 200**2) / 1e9
    assert len(cluster_points(points, min_cluster_size=5, max_memory_gb=needed).labels) == 200
    with pytest.raises(UserError, match="clustering 200 items needs about"):
        cluster_points(points, min_cluster_size=5, max_memory_gb=needed - 1e-9)


def test_clusters_are_numbered_by_size_and_members_by_strength():
    bits, _ = planted_bits(90, 200, 3, 0.1)
    found = cluster_codes(codes_of(np.concatenate([bits, bits[:20]])), min_cluster_size=10)
    assert found.noise_share == pytest.approx((found.labels == -1).mean())
    assert (found.sizes == np.bincount(found.labels[found.labels >= 0])).all() and (np.diff(found.sizes) <= 0).all()
    members = found.members(0)
    assert (found.labels[members] == 0).all() and (np.diff(found.strength[members]) <= 0).all()
    assert len(members) == found.sizes[0] and found.min_samples == 10 and found.metric == "hamming"
    assert cluster_points(np.zeros((0, 2)), min_cluster_size=2).noise_share == 0
    with pytest.raises(UserError, match=r"expected min_samples of at least 1 \(the item itself\); got 0"):
        cluster_codes(codes_of(bits), min_samples=0)
