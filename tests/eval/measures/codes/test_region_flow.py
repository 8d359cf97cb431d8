"""Flow between groupings by hand, against scikit-learn, and neighbourhoods that are kept, shuffled or tied."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import completeness_score, homogeneity_score

from eval.errors import UserError
from eval.measures.codes.region_flow import neighbours_kept, region_flow


def test_a_split_and_a_merge_by_hand() -> None:
    before = np.array([0, 0, 0, 0, 1, 1, 2, 2, -1])
    after = np.array([0, 0, 1, 1, 2, 2, 2, 2, 0])
    found = region_flow(before, after)
    assert found.table.tolist() == [[2, 2, 0], [0, 0, 2], [0, 0, 2]]
    assert (found.split, found.merged, found.n_items) == (1, 1, 8)
    assert found.split_bits == pytest.approx(0.5)  # one bit for half of the items
    assert found.merged_bits == pytest.approx(0.5)


def test_one_item_astray_is_no_branch() -> None:
    found = region_flow(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1]))
    assert (found.split, found.merged) == (0, 0) and found.split_bits > 0


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_bits_are_those_of_homogeneity_and_completeness(seed: int, most: int) -> None:
    before, after = np.random.default_rng(seed).integers(0, most, (2, 40))
    found = region_flow(before, after)
    counts = [np.unique(labels, return_counts=True)[1] / len(labels) for labels in (before, after)]
    of_before, of_after = (float(-(share * np.log2(share)).sum()) for share in counts)
    assert found.split_bits == pytest.approx((1 - homogeneity_score(after, before)) * of_after, abs=1e-9)
    assert found.merged_bits == pytest.approx((1 - completeness_score(after, before)) * of_before, abs=1e-9)


def test_agreement_is_one_for_new_names_and_nothing_for_shuffled_ones() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 600)
    assert region_flow(labels, (labels + 2) % 5).agreement.value == pytest.approx(1)
    assert abs(region_flow(labels, generator.permutation(labels)).agreement.value or 0) < 0.02


@pytest.mark.parametrize("after", [[-1, -1, -1, -1], [0, 0, 0, 0]])
def test_without_two_clusters_there_is_no_agreement(after: list[int]) -> None:
    found = region_flow(np.array([0, 0, 1, 1]), np.array(after))
    assert not found.agreement.is_defined and "in one cluster of a layer, or in none" in str(found.agreement.reason)


def distances(points: np.ndarray) -> np.ndarray:
    return np.abs(points[:, None] - points[None]).sum(-1)


def test_neighbours_are_all_kept_by_a_scaling_and_by_chance_by_a_shuffle() -> None:
    generator = np.random.default_rng(1)
    points = generator.normal(size=(80, 6))
    kept, chance = neighbours_kept(distances(points), distances(3 * points), 5)
    assert kept.value == 1 and chance == pytest.approx(5 / 79)
    shuffled, _ = neighbours_kept(distances(points), distances(generator.permutation(points)), 5)
    assert shuffled.low is not None and shuffled.high is not None and shuffled.low < chance < shuffled.high


def test_ties_are_shared_out_whatever_the_order() -> None:
    flat = 1.0 - np.eye(6)
    kept, chance = neighbours_kept(flat, flat, 2)
    assert kept.value == pytest.approx(5 * (2 / 5) ** 2 / 2) == pytest.approx(chance)


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match="expected one label per item at both layers"):
        region_flow(np.zeros(3, int), np.zeros(4, int))
    with pytest.raises(UserError, match=r"expected distances of the same items; got \(3, 3\) and \(4, 4\)"):
        neighbours_kept(np.zeros((3, 3)), np.zeros((4, 4)), 1)
    with pytest.raises(UserError, match="expected 1 to 2 neighbours of 4 items; got 3"):
        neighbours_kept(np.zeros((4, 4)), np.zeros((4, 4)), 3)
