"""Directions, monosemanticity and dictionaries on planted structure."""

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.code_dictionary import cluster_dictionary, factor_dictionary
from eval.measures.directions import clusters_crossed, cosine_histograms, nmf_directions, pca_directions, top_items
from eval.measures.monosemanticity import label_entropy, monosemanticity


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
