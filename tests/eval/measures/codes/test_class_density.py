"""Density within and between classes: planted ratios, no false alarms, classes as the unit of resampling."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.codes.class_density import class_density, pair_density, trend_over_layers


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
