"""Density within and between classes: planted ratios, no false alarms, classes as the unit of resampling."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
from scipy.stats import spearmanr

from eval.errors import UserError
from eval.measures.codes.class_density import _means, class_density, pair_density, trend_over_layers


def _planted(
    ratio: float, seed: int = 0, classes: int = 10, each: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    length = generator.uniform(1, 2, (len(labels), len(labels)))
    length = (length + length.T) / 2
    np.fill_diagonal(length, 0)
    same = labels[:, None] == labels
    noise = generator.normal(1, 0.1, length.shape)
    distance = np.rint(1000 * length * np.where(same, 1.0, ratio) * (noise + noise.T) / 2).astype(int)
    np.fill_diagonal(distance, 0)
    return distance, length, labels


def test_a_planted_ratio_is_found_within_its_interval() -> None:
    found = class_density(*_planted(1.3))
    assert found.ratio.value == pytest.approx(1.3, rel=0.02)
    assert found.ratio.low is not None and found.ratio.high is not None
    assert found.ratio.low > 1.2 and found.ratio.high < 1.4 and found.ratio.n == 10 and found.p < 0.01


def test_intervals_without_a_difference_hold_one_as_often_as_they_say() -> None:
    """20 data sets: fewer than 17 of 20 intervals of 95% hold the truth once in 60 times, 4 of 20 p below .05 too."""
    found = [class_density(*_planted(1.0, seed), n_resamples=500) for seed in range(20)]
    assert sum(f.ratio.low is not None and f.ratio.low < 1 < (f.ratio.high or 0) for f in found) >= 17
    assert sum(f.p < 0.05 for f in found) <= 4


def test_trend_over_layers_has_the_sign_of_the_planted_one() -> None:
    stack = [pair_density(*_planted(r, seed)[:2])[0] for seed, r in enumerate((1.0, 1.1, 1.2, 1.3))]
    labels = _planted(1.0)[2]
    rising, falling = trend_over_layers(np.stack(stack), labels), trend_over_layers(np.stack(stack[::-1]), labels)
    assert rising.value == pytest.approx(1) and falling.value == pytest.approx(-1)
    assert trend_over_layers(np.stack(stack[:2]), labels).value is None


def test_few_classes_have_a_value_but_no_interval_and_coincident_pairs_are_named() -> None:
    distance, length, labels = _planted(1.2, classes=3)
    length[0, 1] = length[1, 0] = 0
    found = class_density(distance, length, labels)
    assert found.ratio.value is not None and found.ratio.low is None and "3" in str(found.ratio.interval_reason)
    assert found.reason == "1 pairs coincide: no distance to divide by"
    with pytest.raises(UserError, match="expected two classes and two images of one; got 1 classes"):
        class_density(distance, length, np.zeros(len(labels), dtype=int))
    with pytest.raises(UserError, match="expected one label per item; got 2 labels"):
        class_density(distance, length, labels[:2])


def test_values_and_trend_are_means_over_pairs_written_out() -> None:
    distance, length, labels = _planted(1.3, seed=4, classes=9, each=3)
    labels[0] = labels[8]  # classes of unequal size
    density, reason = pair_density(distance, length)
    off = ~np.eye(27, dtype=bool)
    assert reason is None and np.isnan(np.diag(density)).all()
    np.testing.assert_allclose(density[off], distance[off] / length[off])
    same = labels[:, None] == labels
    found = class_density(distance, length, labels, n_resamples=200)
    assert found.intra.value == pytest.approx(density[same & off].mean()) and found.intra.n == 9
    assert found.inter.value == pytest.approx(density[~same].mean())
    assert found.ratio.value == pytest.approx(density[~same].mean() / density[same & off].mean())


def test_the_interval_of_eight_classes_is_there_and_of_seven_is_not() -> None:
    assert class_density(*_planted(1.3, classes=8), n_resamples=100).inter.interval is not None
    found = class_density(*_planted(1.3, classes=7), n_resamples=100)
    assert found.inter.interval is None and found.intra.interval is None and found.ratio.value is not None


def test_a_resample_of_classes_pairs_no_class_with_itself() -> None:
    """By hand: classes drawn (2, 1, 0) times; pairs within count by class, pairs between by two different classes."""
    sums = np.array([[6.0, 4, 9], [4, 2, 7], [9, 7, 1]])
    counts = np.array([[2.0, 2, 3], [2, 2, 1], [3, 1, 2]])
    intra, inter = _means(sums, counts, np.array([[2.0, 1, 0], [1, 1, 1]]))
    assert intra.tolist() == [(2 * 6 + 2) / (2 * 2 + 2), 9 / 6] and inter.tolist() == [2.0, 40 / 12]


def test_no_boundary_within_classes_has_a_reason_and_no_p() -> None:
    distance, length, labels = _planted(1.0)
    none = np.zeros_like(distance)
    assert (
        class_density(none, length, labels, n_resamples=100).ratio.reason == "the statistic is not finite on the data"
    )
    assert np.isnan(class_density(none, length, labels, n_resamples=100).p)
    within = np.where(labels[:, None] == labels, distance, 0)
    assert np.isnan(class_density(within, length, labels, n_resamples=100).p)
    between = np.where(labels[:, None] == labels, 0, distance)
    assert np.isnan(class_density(between, length, labels, n_resamples=100).p)


def test_a_trend_is_the_rank_correlation_of_layer_and_ratio() -> None:
    order = (1.2, 1.0, 1.3, 1.1)
    stack = np.stack([pair_density(*_planted(r, seed)[:2])[0] for seed, r in enumerate(order)])
    labels = _planted(1.0)[2]
    found = trend_over_layers(stack, labels)
    assert found.value == pytest.approx(float(spearmanr(range(4), order).statistic)) and found.n == 10
    three = trend_over_layers(stack[:3], labels)
    assert three.value == pytest.approx(0.5) and three.interval is not None
    assert trend_over_layers(stack[:2], labels).reason == "2 layers; a trend needs at least three"
    seven = labels < 7
    few = trend_over_layers(stack[:, seven][:, :, seven], labels[seven])
    assert few.value is not None and few.interval is None


def test_shapes_that_do_not_match_and_single_images_are_refused() -> None:
    unchecked = inspect.unwrap(pair_density)  # without the shape checks that the tests install
    for one, two in (((2, 3), (2, 3)), ((2, 2), (3, 3)), ((2,), (2,)), ((2, 2, 2), (2, 2, 2))):
        with pytest.raises(UserError, match=re.escape(f"expected two square matrices; got {one} and {two}")):
            unchecked(np.zeros(one, dtype=int), np.zeros(two))
    with pytest.raises(UserError, match="got 3 classes of at most 1"):
        class_density(np.ones((3, 3), dtype=int), np.ones((3, 3)), np.arange(3))
    assert class_density(*_planted(1.0, classes=2, each=2), n_resamples=10).ratio.value is not None


def test_the_unit_of_length_changes_neither_ratio_nor_p() -> None:
    distance, length, labels = _planted(1.1)
    found = class_density(distance, length, labels, n_resamples=100)
    for unit in (1e-4, 1e4):
        other = class_density(distance, unit * length, labels, n_resamples=100)
        assert other.p == found.p and other.ratio.value == pytest.approx(found.ratio.value)
        assert other.intra.value == pytest.approx((found.intra.value or 0) / unit)


def test_the_smallest_p_is_one_of_four_hundred_shuffles() -> None:
    assert class_density(*_planted(3.0), n_resamples=50).p == pytest.approx(1 / 401)
