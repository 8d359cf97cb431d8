"""The smoothest direction out of sample: by hand, unbiased where the sample's minimum is not, covered, degenerate."""

from __future__ import annotations

import numpy as np
import pytest

from eval.measures.projections.held_out_action import GroupMoments, held_out_minimum_action
from eval.measures.projections.streamed_action import minimum_action_directions


def moments_of(trajectories: list[np.ndarray], groups: list[int], n_groups: int = 8) -> GroupMoments:
    width = trajectories[0].shape[1]
    differences, second = np.zeros((n_groups, width, width)), np.zeros((n_groups, width, width))
    first, counts = np.zeros((n_groups, width)), np.zeros((n_groups, 2))
    for frames, group in zip(trajectories, groups, strict=True):
        steps = np.diff(frames, axis=0)
        differences[group] += steps.T @ steps
        second[group] += frames.T @ frames
        first[group] += frames.sum(0)
        counts[group] += len(steps), len(frames)
    return GroupMoments(differences, second, first, *counts.T)


def white(n_documents: int, width: int, seed: int, length: int = 30) -> GroupMoments:
    generator = np.random.default_rng(seed)
    frames = [3 + generator.standard_normal((length, width)) for _ in range(n_documents)]
    return moments_of(frames, [document % 8 for document in range(n_documents)])


def test_white_noise_is_one_out_of_sample_and_below_it_in_sample() -> None:
    found = [held_out_minimum_action(white(40, 12, seed), 40) for seed in range(60)]
    values = np.array([score.value for score in found])
    truth = 29 / 30  # steps per frame
    assert values.mean() == pytest.approx(truth, abs=0.03)
    whole = white(40, 12, 0)
    differences, covariance, _ = whole.of(np.arange(8))
    assert minimum_action_directions(differences, covariance, 1)[1][0] < 0.9 * truth
    covered = np.mean([score.low <= truth <= score.high for score in found])
    assert 0.85 <= covered <= 1.0 and all(score.n == 40 for score in found)


def test_a_slow_direction_is_found_and_measured_on_the_other_half() -> None:
    generator = np.random.default_rng(0)
    frames = []
    for _ in range(40):
        path = generator.standard_normal((60, 5))
        path[:, 0] = np.cumsum(generator.standard_normal(60)) / 4
        frames.append(path)
    groups = [document % 8 for document in range(40)]
    found = held_out_minimum_action(moments_of(frames, groups), 40)
    halves = [np.concatenate([f for f, g in zip(frames, groups, strict=True) if g % 2 == side]) for side in (0, 1)]
    slow = sum(np.sum(np.diff(f[:, 0]) ** 2) for f in frames) / 2
    spread = sum(np.sum((half[:, 0] - half[:, 0].mean()) ** 2) for half in halves)
    assert found.value == pytest.approx(slow / spread, rel=0.1) and found.high < 0.3


def test_what_cannot_be_measured_has_its_reason() -> None:
    one_half = moments_of([np.random.default_rng(0).standard_normal((9, 3))] * 4, [0, 2, 4, 6])
    assert held_out_minimum_action(one_half, 4).reason.startswith("one half of the documents has no step")
    still = moments_of([np.ones((9, 3))] * 8, list(range(8)))
    assert "expected at least 1 directions with variance, got 0" in held_out_minimum_action(still, 8).reason
    few = held_out_minimum_action(white(10, 3, 0), 10)
    assert few.value is not None and few.interval_reason.startswith("10 documents; an interval over documents needs")
    halves = moments_of(
        [np.random.default_rng(n).standard_normal((9, 3)) for n in range(30)], [n % 2 for n in range(30)]
    )
    wide = held_out_minimum_action(halves, 30)
    assert wide.interval_reason == "moments of 2 groups of documents are kept; an interval needs at least 6"
