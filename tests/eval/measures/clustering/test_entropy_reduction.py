"""Entropy of sets at a fixed size and extrapolated: by enumeration, planted, flat in the number of items."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom

from eval.errors import UserError
from eval.measures.clustering.entropy_reduction import (
    entropy_reduction,
    extrapolated_entropy,
    rarefied_entropy,
)
from eval.measures.clustering.monosemanticity import label_entropy


def test_rarefaction_is_the_mean_over_every_subset():
    members = np.array([0, 0, 0, 1, 1, 2, 3])
    subsets = [np.bincount(members[list(chosen)], minlength=4).astype(float) for chosen in combinations(range(7), 4)]
    assert rarefied_entropy(np.bincount(members), 4) == pytest.approx(np.mean([label_entropy(one) for one in subsets]))
    assert rarefied_entropy(np.array([7]), 4) == 0.0
    assert np.isnan(rarefied_entropy(np.array([2, 1]), 4))


def test_extrapolation_reaches_the_entropy_of_the_source_where_counting_falls_short():
    generator = np.random.default_rng(0)
    share = 1 / np.arange(1, 201)
    share /= share.sum()
    truth = float(-(share * np.log2(share)).sum())
    draws = [np.bincount(generator.choice(200, 100, p=share)) for _ in range(200)]
    counted = np.mean([label_entropy(one.astype(float)) for one in draws])
    extrapolated = np.mean([extrapolated_entropy(one) for one in draws])
    assert truth - counted > 0.8
    assert abs(extrapolated - truth) < 0.2
    assert extrapolated_entropy(np.array([5])) == 0.0
    assert np.isnan(extrapolated_entropy(np.zeros(3, dtype=int)))
    assert np.isfinite(extrapolated_entropy(np.ones(20, dtype=int)))


def test_planted_sets_one_label_reduces_all_and_random_sets_nothing():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 50, 5000)
    pure = [np.flatnonzero(labels == label)[:30] for label in range(20)]
    chance = [generator.choice(5000, 30, replace=False) for _ in range(200)]
    found = entropy_reduction(pure, labels)
    assert np.allclose(found.fixed, 1) and np.allclose(found.extrapolated, 1)
    random = entropy_reduction(chance, labels)
    assert abs(random.fixed.mean()) < 0.01 and abs(random.extrapolated.mean()) < 0.05


@pytest.mark.parametrize("size", [20, 100, 400])
def test_the_effect_does_not_grow_with_the_members_of_a_set(size: int):
    """A set whose tokens are one label half of the time has one effect, however many of its tokens were read."""
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 100, 200_000)
    same = np.flatnonzero(labels == 0)
    sets = [
        np.concatenate([generator.choice(same, size // 2), generator.choice(200_000, size // 2)]) for _ in range(60)
    ]

    def expected(share: np.ndarray) -> float:
        drawn = np.arange(1, 6)
        return float((binom.pmf(drawn, 5, share[:, None]) @ (-drawn / 5 * np.log2(drawn / 5))).sum())

    half = np.full(100, 0.5 / 100) + np.eye(100)[0] / 2
    effect = 1 - expected(half) / expected(np.full(100, 0.01))
    assert entropy_reduction(sets, labels).fixed.mean() == pytest.approx(effect, abs=0.03)


def test_small_sets_unlabelled_items_and_wrong_members():
    labels = np.array([0] * 10 + [1] * 10 + [-1] * 5)
    found = entropy_reduction([np.arange(4), np.arange(18, 25), np.arange(9)], labels)
    assert np.isnan(found.fixed[:2]).all() and found.fixed[2] == 1
    assert np.isnan(entropy_reduction([np.arange(9)], np.zeros(20, dtype=int)).fixed).all()
    with pytest.raises(UserError, match=r"expected members in 0\.\.24; got 25; are labels per item\?"):
        entropy_reduction([np.arange(20, 26)], labels)
    with pytest.raises(UserError, match="expected a size of at least 2 members; got 1; one member has no entropy"):
        entropy_reduction([], labels, size=1)


def test_without_a_label_seen_once_nothing_is_unseen():
    assert extrapolated_entropy(np.array([2, 2])) == pytest.approx((1 / 2 + 1 / 3) / np.log(2))
    assert extrapolated_entropy(np.array([3])) == 0 and np.isnan(extrapolated_entropy(np.array([0])))
