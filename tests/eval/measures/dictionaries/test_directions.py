"""Directions, monosemanticity and dictionaries on planted structure."""

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.clustering.monosemanticity import label_entropy, monosemanticity
from eval.measures.dictionaries.code_dictionary import (
    _mean_active,
    _unexplained,
    cluster_dictionary,
    factor_dictionary,
    topk_dictionary,
)
from eval.measures.dictionaries.directions import (
    clusters_crossed,
    cosine_histograms,
    nmf_directions,
    overlap_above_chance,
    pca_directions,
    top_items,
)


def planted_parts(n=300, seed=0):
    """Four disjoint non-negative parts, one of them active in each item."""
    generator = np.random.default_rng(seed)
    parts = np.kron(np.eye(4), np.ones(5))
    which = generator.integers(0, 4, n)
    return parts[which] * generator.uniform(0.5, 2, (n, 1)), which, parts


def test_nmf_finds_planted_parts():
    x, which, parts = planted_parts()
    found = nmf_directions(x, 4)
    cosine = found.vectors @ (parts / np.linalg.norm(parts, axis=1, keepdims=True)).T
    assert (cosine.max(0) > 0.99).all() and found.unexplained < 0.01
    for members, direction in zip(top_items(found.scores, 20), cosine.argmax(1), strict=True):
        assert (which[members] == direction).all()


def test_negative_activations_need_a_choice():
    x, _, _ = planted_parts()
    signed = x - 2 * x[::-1]
    assert nmf_directions(signed, 8, negative="split").vectors.min() < -0.1
    assert nmf_directions(signed, 8, negative="clip").vectors.min() >= 0
    assert nmf_directions(signed, 8, negative="shift").unexplained < 1
    with pytest.raises(UserError, match="expected negative to be clip, shift or split; got 'abs'"):
        nmf_directions(signed, 8, negative="abs")


def test_pca_directions_are_orthonormal_and_explain_what_numpy_says():
    x = np.random.default_rng(0).normal(size=(100, 6)) * np.arange(1, 7)
    found = pca_directions(x, 2)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1]
    assert found.vectors @ found.vectors.T == pytest.approx(np.eye(2))
    assert found.unexplained == pytest.approx(values[2:].sum() / values.sum())


def test_cosines_are_counted_by_cluster():
    x = np.array([[1.0, 0], [0, 2], [1, 1], [0, 0]])
    edges, counts = cosine_histograms(x, np.array([[1.0, 0]]), np.array([0, 1, -1, 0]), n_bins=4)
    assert edges.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert counts.tolist() == [[[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]]]  # noise, cluster 0, cluster 1


def test_a_direction_across_two_clusters_is_told_from_one_within():
    labels = np.repeat([0, 1, -1], 10)
    rows = clusters_crossed([np.arange(10), np.arange(5, 15), np.arange(20, 30)], labels)
    assert [row["n_clusters"] for row in rows] == [1, 2, 0]
    assert [row["effective_clusters"] for row in rows] == pytest.approx([1, 2, 0])
    assert rows[2]["noise_share"] == 1 and rows[2]["largest_share"] is None


def _mostly_noise(share=0.77, n=2000, n_clusters=20):
    generator = np.random.default_rng(0)
    return np.where(generator.random(n) < share, -1, generator.integers(0, n_clusters, n)), generator


def test_overlap_can_hold_fail_and_stay_open():
    labels, generator = _mostly_noise()
    several = [
        np.concatenate([np.flatnonzero(labels == k)[:4], np.flatnonzero(labels == (k + 1) % 20)[:4],
                        np.flatnonzero(labels < 0)[20 * k : 20 * k + 12]]) for k in range(20)
    ]  # fmt: skip
    found, chance = overlap_above_chance(several, labels)
    assert found.value == pytest.approx(1 - chance) and found.low > 0.5 and chance < 0.2
    random = [generator.choice(2000, 20, replace=False) for _ in range(20)]
    found, _ = overlap_above_chance(random, labels)
    assert found.low < 0 < found.high
    full, _ = _mostly_noise(share=0.0)
    within = [np.flatnonzero(full == k)[:20] for k in range(20)]  # one cluster each, where chance meets several
    found, chance = overlap_above_chance(within, full)
    assert chance > 0.9 and found.high < 0


def test_no_overlap_among_few_directions_is_no_failure_where_chance_hardly_overlaps():
    labels, _ = _mostly_noise()
    found, chance = overlap_above_chance([np.flatnonzero(labels < 0)[20 * k : 20 * k + 20] for k in range(12)], labels)
    assert found.value == pytest.approx(-chance) and found.low < 0 < found.high  # [0, 0] minus chance would "fail"
    assert overlap_above_chance([], labels)[0].reason == "no direction to judge"
    with pytest.raises(UserError, match="expected sets of at most 3 items; got 4"):
        overlap_above_chance([np.arange(4)], np.zeros(3, dtype=int))


def test_entropy_of_known_counts():
    assert label_entropy(np.array([[1.0, 1], [4, 0], [0, 0]])) == pytest.approx([1, 0, np.nan], nan_ok=True)


def test_pure_sets_are_monosemantic_and_random_ones_are_not():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 30, 1500)
    pure = [np.flatnonzero(labels == k)[:12] for k in range(5)]
    random = [generator.choice(1500, 12, replace=False) for _ in range(60)]
    found = monosemanticity([*pure, *random, np.array([3])], labels)
    assert found.monosemantic()[:5].all() and found.entropy[:5] == pytest.approx(0) and (found.purity[:5] == 1).all()
    assert found.monosemantic()[5:].mean() < 0.1 and np.isnan(found.p[-1])
    assert np.mean(found.p[5:-1] <= 0.5) == pytest.approx(0.5, abs=0.25)  # p is uniform under the null


def test_items_without_a_label_are_left_out():
    labels = np.array([1, 1, -1, -1, 2, 3, 4, 5])
    assert monosemanticity([np.array([0, 1, 2, 3])], labels).entropy[0] == 0


def test_a_dictionary_on_codes_explains_held_out_codes():
    generator = np.random.default_rng(0)
    parts = generator.random((6, 80)) < 0.3
    bits = ((generator.random((400, 6)) < 0.3).astype(int) @ parts > 0).astype(np.uint8)
    found = factor_dictionary(bits[:300], bits[300:], n_features=12, basis="codes")
    chance = cluster_dictionary(bits[:300], np.full(300, -1), bits[300:], basis="mean only")
    assert found.unexplained < 0.4 < chance.unexplained and found.bit_error < chance.bit_error
    assert chance.unexplained == pytest.approx(1, abs=0.1)


def test_an_overcomplete_sparse_dictionary_beats_few_dense_factors_and_an_untrained_one():
    generator = np.random.default_rng(0)
    parts = generator.random((60, 40)) < 0.1  # more parts than bits, three of them in each item
    chosen = np.argsort(generator.random((4000, 60)), axis=1)[:, :3]
    bits = parts[chosen].any(1).astype(np.uint8)
    train, held_out = bits[:3500], bits[3500:]
    found = topk_dictionary(train, held_out, basis="codes", k=6, steps=600)
    assert found.vectors.shape == (80, 40) and found.mean_active <= 6 and found.n_train == 3500
    untrained = topk_dictionary(train, held_out, basis="codes", k=6, steps=0)
    few = factor_dictionary(train, held_out, n_features=6, basis="codes")
    assert found.unexplained < 0.3 < min(few.unexplained, untrained.unexplained)
    assert found.bit_error < few.bit_error and found.method == "TopK SAE, k = 6" and few.method == "NMF"
    scaled = topk_dictionary(1e3 * train.astype(np.float32), 1e3 * held_out.astype(np.float32),
                             basis="activations", k=6, steps=600)  # fmt: skip
    assert scaled.unexplained == pytest.approx(found.unexplained, abs=0.02) and scaled.bit_error is None


def test_clusters_as_a_dictionary_explain_planted_clusters():
    x, which, parts = planted_parts()
    found = cluster_dictionary(x[:200], which[:200], x[200:], basis="clusters")
    assert found.unexplained < 0.3 and found.bit_error is None and len(found.vectors) == 5


def test_bad_input_is_named():
    with pytest.raises(UserError, match=r"expected activations as \[item, width\]; got shape \(0, 3\)"):
        pca_directions(np.zeros((0, 3)))
    with pytest.raises(UserError, match="1 items hold NaN or infinity"):
        nmf_directions(np.array([[1.0, np.nan], [1.0, 1.0]]))
    with pytest.raises(UserError, match="expected training and held-out rows"):
        factor_dictionary(np.zeros((3, 4)), np.zeros((0, 4)), n_features=2, basis="x")
    with pytest.raises(UserError, match="expected training and held-out rows of one width"):
        topk_dictionary(np.zeros((3, 4)), np.zeros((0, 4)), basis="x")
    with pytest.raises(UserError, match="expected finite rows"):
        topk_dictionary(np.full((3, 4), np.nan), np.zeros((3, 4)), basis="x")
    with pytest.raises(UserError, match="lower --k"):
        topk_dictionary(np.zeros((3, 4)), np.zeros((3, 4)), basis="x", k=32)


def test_what_does_not_vary_is_explained_and_unexplained_is_numpys():
    rows = np.tile([[1.0, 0.0, 2.0]], (4, 1)).astype(np.float32)
    assert _unexplained(rows, rows + 1, rows[0]) == 0
    y, guess = np.random.default_rng(0).normal(size=(2, 30, 4))
    mean = y.mean(0) + 0.1
    assert _unexplained(y, guess, mean) == pytest.approx(((y - guess) ** 2).sum() / ((y - mean) ** 2).sum())
    features = np.array([[1.0, 0.02, 0.0], [0.5, 2.0, 0.0]])
    assert _mean_active(features) == 1.5 and _mean_active(features[:0]) == 0


def test_clusters_as_a_dictionary_have_one_active_element_and_the_mean_beside_them():
    x = np.array([[0, 0], [0, 2], [4, 4], [6, 4], [9, 9]], dtype=np.float32)
    found = cluster_dictionary(x, np.array([0, 0, 1, 1, -1]), np.array([[0.0, 1], [5, 5]]), basis="points")
    assert found.vectors == pytest.approx(np.array([x.mean(0), [0, 1], [5, 4]]))
    assert found.features.tolist() == [[0, 1, 0], [0, 0, 1]] and found.mean_active == 1 and found.bit_error is None
    total = ((np.array([[0.0, 1], [5, 5]]) - x.mean(0)) ** 2).sum()
    assert found.unexplained == pytest.approx(1 / total) and found.n_train == 5
    bits = cluster_dictionary(x > 1, np.array([0, 0, 1, 1, -1]), np.array([[True, True]]), basis="codes")
    assert bits.bit_error == 0 and bits.summary()["bit_error"] == 0


def test_histograms_count_every_item_by_its_group_and_cosine():
    x = np.array([[1.0, 0], [-1, 0], [0, 2], [0, 0], [1, 1]])
    directions = np.array([[1.0, 0.0]])
    edges, counts = cosine_histograms(x, directions, np.full(5, -1), n_bins=4)
    assert edges.tolist() == [-1, -0.5, 0, 0.5, 1] and counts.shape == (1, 1, 4)
    assert counts[0, 0].tolist() == [1, 0, 1, 2]
    _, counts = cosine_histograms(x, directions, np.array([0, 1, 1, 0, -1]), n_bins=4)
    assert counts[0].tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [1, 0, 1, 0]]


def test_crossed_clusters_are_counted_with_noise_apart():
    labels = np.array([0, 0, 0, 1, 1, 2, -1, -1])
    rows = clusters_crossed([np.arange(8), np.array([6, 7]), np.array([0, 1])], labels)
    assert rows[0]["n_clusters"] == 2 and rows[0]["noise_share"] == 0.25 and rows[0]["n_items"] == 8
    share = np.array([3, 2, 1]) / 6
    assert rows[0]["effective_clusters"] == pytest.approx(2 ** -(share * np.log2(share)).sum())
    assert rows[0]["largest_share"] == 0.5
    assert rows[1]["n_clusters"] == 0 and rows[1]["effective_clusters"] == 0 and rows[1]["noise_share"] == 1
    assert rows[2]["effective_clusters"] == 1 and rows[2]["largest_share"] == 1


def test_principal_directions_are_numpys_eigenvectors_with_the_largest_loading_positive():
    x = np.random.default_rng(0).normal(size=(50, 6)) @ np.diag([5, 3, 2, 1, 1, 0.5])
    found = pca_directions(x, 2)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    assert np.abs(found.vectors @ vectors[:, ::-1][:, :2]) == pytest.approx(np.eye(2), abs=1e-9)
    assert found.unexplained == pytest.approx(1 - values[-2:].sum() / values.sum())
    largest = np.abs(found.vectors).argmax(1)
    assert (found.vectors[[0, 1], largest] > 0).all()
    assert found.scores == pytest.approx((x - x.mean(0)) @ found.vectors.T)
    assert pca_directions(np.ones((3, 2)), 2).unexplained == 0


def test_sets_larger_than_the_items_are_refused_by_the_largest():
    with pytest.raises(UserError, match="expected sets of at most 5 items; got 9; are labels per item?"):
        overlap_above_chance([np.arange(3), np.arange(9)], np.zeros(5, dtype=int))


def test_a_set_of_all_items_is_judged():
    """Two directions whose strongest items are everything meet both clusters, as every draw of that size does."""
    labels = np.repeat([0, 1], 6)
    found, chance = overlap_above_chance([np.arange(12)] * 2, labels, n_draws=20)
    assert found.value == 0 and chance == 1


def test_the_strongest_items_are_all_positive_ones_strongest_first():
    scores = np.array([[0.2, -1.0], [0.5, 0.0], [-0.1, 1e-9], [0.3, -2.0]])
    assert [found.tolist() for found in top_items(scores, 3)] == [[1, 3, 0], [2]]
    assert [found.tolist() for found in top_items(scores, 1)] == [[1], [2]]


@pytest.mark.parametrize(("steps", "expected"), [(100, (5, 20, 20)), (200, (10, 40, 20)), (400, (20, 80, 40))])
def test_a_twentieth_warms_up_a_fifth_decays_and_a_tenth_is_dead(steps, expected, monkeypatch):
    kept = []

    class Stop(Exception):
        pass

    def asked(options):
        kept.append(options)
        raise Stop

    monkeypatch.setattr("eval.measures.dictionaries.code_dictionary.TopKTrainer", asked)
    rows = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32)
    with pytest.raises(Stop):
        topk_dictionary(rows, rows, basis="rows", k=3, steps=steps, seed=4)
    (options,) = kept
    assert (options.warmup_steps, options.decay_steps, options.dead_after) == expected
    assert (options.total_steps, options.d_in, options.n_features, options.k, options.seed) == (steps, 6, 12, 3, 4)


def test_more_factors_than_rows_or_columns_start_at_random() -> None:
    generator = np.random.default_rng(0)
    rows = (generator.random((40, 6)) < 0.4).astype(np.uint8)
    for n_features in (3, 6, 9):
        found = factor_dictionary(rows[:30], rows[30:], n_features=n_features, basis="codes")
        assert found.vectors.shape == (n_features, 6)
