"""Epsilon selection, outlier scores, soft membership and prediction equal those of the package `hdbscan`."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from eval.errors import UserError
from eval.measures.clustering.clusters import cluster_codes, cluster_points
from eval.measures.clustering.membership import outlier_scores, predict, soft_membership
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes

hdbscan = pytest.importorskip("hdbscan")
SIZE = 10


def blobs(seed, n=260, width=3):
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(6, width)) * 2.5
    return centres[generator.integers(0, 6, n)] + generator.normal(size=(n, width)) * generator.uniform(0.3, 0.9)


def peer(points, samples, method="eom", epsilon=0.0, single=False):
    """`hdbscan` counts the item's neighbours, we the item as well: its min_samples is ours minus one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hdbscan.HDBSCAN(
            min_cluster_size=SIZE, min_samples=samples, cluster_selection_method=method, prediction_data=True,
            cluster_selection_epsilon=epsilon, allow_single_cluster=single, algorithm="boruvka_kdtree",
            approx_min_span_tree=False,
        ).fit(points)  # fmt: skip


def ours(points, samples, method="eom", epsilon=0.0, single=False):
    return cluster_points(
        points, min_cluster_size=SIZE, min_samples=samples + 1, method=method, epsilon=epsilon,
        allow_single_cluster=single,
    )  # fmt: skip


def order_of(found, labels):
    """Our cluster -> the peer's, from members."""
    return np.array([np.bincount(labels[found.labels == c]).argmax() for c in range(found.n_clusters)])


@pytest.mark.parametrize(("samples", "seeds"), [(1, range(4)), (2, range(4)), (5, (0, 3))])
def test_scores_and_memberships_are_those_of_hdbscan(samples, seeds):
    """For more samples core distances tie with splits, and `hdbscan` breaks such ties by row order."""
    for seed in seeds:
        points = blobs(seed)
        them, found = peer(points, samples), ours(points, samples)
        assert found.n_clusters == them.labels_.max() + 1 > 1
        order = order_of(found, them.labels_)
        assert (np.append(order, -1)[found.labels] == them.labels_).all()
        np.testing.assert_allclose(found.strength, them.probabilities_, atol=1e-12)
        soft, theirs = soft_membership(found, points), hdbscan.all_points_membership_vectors(them)[:, order]
        share = soft / soft.sum(1, keepdims=True), theirs / theirs.sum(1, keepdims=True)
        alike = [
            np.isclose(outlier_scores(found), them.outlier_scores_, atol=1e-12),
            np.isclose(soft[found.labels >= 0], theirs[found.labels >= 0], atol=1e-6).all(1),
            np.isclose(*share, atol=1e-6).all(1),
            soft.sum(1) <= theirs.sum(1) + 1e-6,  # of clusters met at once we take the densest
        ]
        assert all(one.all() for one in alike) if samples == 1 else all(one.mean() > 0.95 for one in alike)


@pytest.mark.parametrize("method", ["eom", "leaf"])
@pytest.mark.parametrize("seed", range(4))
def test_new_points_go_where_hdbscan_sends_them(seed, method):
    points, new = blobs(seed), np.r_[blobs(seed, 80), 9 * np.random.default_rng(seed).normal(size=(20, 3))]
    them, found = peer(points, 5, method), ours(points, 5, method)
    labels, strengths = hdbscan.approximate_predict(them, new)
    mine, strong = predict(found, points, new)
    order = np.append(order_of(found, them.labels_), -1)
    assert (order[mine] == labels).all() and (mine == -1).any() and (mine >= 0).any()
    np.testing.assert_allclose(strong, strengths, atol=1e-9)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("method", ["eom", "leaf"])
@pytest.mark.parametrize("epsilon", [0.3, 0.6, 1.0, 2.0, 50.0])
def test_epsilon_selection_is_that_of_hdbscan(epsilon, method, single):
    for seed in range(4):
        points = blobs(seed)
        them, found = peer(points, 1, method, epsilon, single), ours(points, 1, method, epsilon, single)
        assert found.n_clusters == them.labels_.max() + 1
        assert adjusted_rand_score(them.labels_, found.labels) == 1.0
        assert ((found.labels < 0) == (them.labels_ < 0)).all()


def test_a_far_point_is_the_outlier_and_belongs_nowhere():
    points = np.r_[blobs(0), [[40.0, 40, 40]]]
    found = ours(points, 5)
    scores, soft = outlier_scores(found), soft_membership(found, points)
    assert scores.argmax() == len(points) - 1 and scores[-1] > 0.9 and (scores >= 0).all() and (scores <= 1).all()
    assert soft[-1].sum() < 0.1 and (soft.sum(1) <= 1 + 1e-9).all()
    inside = found.labels >= 0
    assert (soft[inside].argmax(1) == found.labels[inside]).mean() > 0.97


def test_codes_are_predicted_by_their_bits():
    generator = np.random.default_rng(0)
    centres = generator.random((4, 200)) < 0.5
    truth = generator.integers(0, 4, 300)
    bits = centres[truth] ^ (generator.random((300, 200)) < 0.15)
    code_map = CodeMap((CodePart("a", "relu", (200,)),), "x", "tiny")
    codes = SplineCodes.hard(code_map, {"a": np.where(bits, 1.0, -1.0).astype(np.float32)})
    found = cluster_codes(codes[np.arange(200)], min_cluster_size=12)
    labels, strengths = predict(found, codes[np.arange(200)], codes[np.arange(200, 300)])
    assert adjusted_rand_score(truth[200:][labels >= 0], labels[labels >= 0]) == 1.0 and (labels >= 0).mean() > 0.5
    assert ((strengths > 0) == (labels >= 0)).all()
    assert soft_membership(found, codes[np.arange(200)]).shape == (200, 4)
    other = CodeMap((CodePart("b", "relu", (200,)),), "x", "tiny")
    wrong = SplineCodes.hard(other, {"b": np.ones((3, 200), dtype=np.float32)})
    with pytest.raises(UserError, match="got another code map"):
        predict(found, codes[np.arange(200)], wrong)


def test_no_cluster_and_one_cluster_have_defined_answers():
    few = cluster_points(np.zeros((3, 2)), min_cluster_size=5)
    assert outlier_scores(few).tolist() == [0, 0, 0] and soft_membership(few, np.zeros((3, 2))).shape == (3, 0)
    assert predict(few, np.zeros((3, 2)), np.ones((2, 2)))[0].tolist() == [-1, -1]
    same = cluster_points(np.zeros((20, 2)), min_cluster_size=5)
    assert soft_membership(same, np.zeros((20, 2))).tolist() == [[1.0]] * 20
    assert predict(same, np.zeros((20, 2)), np.ones((2, 2)))[0].tolist() == [0, 0]
    found = ours(blobs(0), 5)
    with pytest.raises(UserError, match="expected the 260 items that were clustered; got 4; pass those"):
        predict(found, np.zeros((4, 3)), np.zeros((1, 3)))
    with pytest.raises(UserError, match=r"expected new points \[new, 3\]; got \[1, 2\]"):
        predict(found, blobs(0), np.zeros((1, 2)))
    with pytest.raises(UserError, match=r"expected an epsilon \(a distance\) of at least 0; got -1.0"):
        cluster_points(blobs(0), epsilon=-1.0)


def test_new_points_of_a_single_cluster_belong_to_it_the_more_the_nearer():
    points = np.random.default_rng(0).standard_normal((200, 2))
    found = cluster_points(points, min_cluster_size=20, allow_single_cluster=True)
    assert found.n_clusters == 1
    labels, strength = predict(found, points, np.array([[0.0, 0.0], [3.0, 3.0], [40.0, 0.0]]))
    assert labels[0] == 0 and strength[0] > strength[1] >= strength[2] and strength[0] > 0.5
    assert strength[2] < 0.1
