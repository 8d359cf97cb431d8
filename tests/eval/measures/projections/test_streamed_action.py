"""Streamed action against the same measures of one trajectory in memory, and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.errors import UserError
from eval.measures.projections import projection, streamed_action


def moments(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    steps, centred = np.diff(frames, axis=0), frames - frames.mean(0)
    return steps.T @ steps, centred.T @ centred


@given(st.integers(2, 30), st.integers(1, 8), st.integers(0, 1000), st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_equals_projecting_one_trajectory(n_frames, width, seed, dt):
    frames = np.random.default_rng(seed).standard_normal((n_frames, width))
    differences, _ = moments(frames)
    draws = projection.random_projections(width, 3, 2, seed=seed)
    assert np.allclose(
        streamed_action.sampled_actions(differences, draws, dt), [projection.action(frames @ r, dt) for r in draws]
    )
    expected = projection.expected_action(frames, dt, 2)
    assert streamed_action.expected_action(differences, 2, dt) == pytest.approx(expected)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_no_sample_is_smoother_than_the_exact_minimum(seed):
    generator = np.random.default_rng(seed)
    frames = np.cumsum(generator.standard_normal((50, 10)), axis=0) * generator.uniform(0.1, 2, 10)
    differences, covariance = moments(frames)
    directions, ratios = streamed_action.minimum_action_directions(differences, covariance)
    draws = projection.random_projections(10, 500, seed=seed)
    assert streamed_action.normalised_actions(differences, covariance, draws).min() >= ratios[0] - 1e-12
    assert np.allclose(np.einsum("wk,wv,vk->k", directions, differences, directions) / 2, ratios)
    assert np.allclose(directions.T @ covariance @ directions, np.eye(3), atol=1e-8)
    alone = projection.minimum_action(frames)
    assert np.allclose(ratios, alone.action_per_variance / len(frames))


def test_monte_carlo_within_three_standard_errors_of_the_closed_form():
    frames = np.cumsum(np.random.default_rng(0).standard_normal((60, 40)), axis=0)
    differences, _ = moments(frames)
    sampled = streamed_action.sampled_actions(differences, projection.random_projections(40, 4000, seed=1))
    error = sampled.std(ddof=1) / np.sqrt(len(sampled))
    assert abs(sampled.mean() - streamed_action.expected_action(differences)) < 3 * error


def test_white_noise_has_action_one_per_variance():
    differences, covariance = moments(np.random.default_rng(0).standard_normal((20000, 4)))
    ratio = streamed_action.normalised_actions(differences, covariance, projection.random_projections(4, 5))
    assert np.allclose(ratio, 1, atol=0.05)


def test_directions_below_the_tolerance_of_the_largest_variance_are_left_out():
    """Variances 1e-5, 1 and 1e6: the first lies below 1e-9 of the last, not of the middle one."""
    covariance = np.diag([1e6, 1e-5, 1.0])
    directions, ratios = streamed_action.minimum_action_directions(np.diag([1.0, 1.0, 8.0]), covariance, 2)
    assert np.allclose(ratios, [1 / 2e6, 4.0]) and np.allclose(directions[1], 0)
    with pytest.raises(UserError, match="expected at least 3 directions with variance, got 2"):
        streamed_action.minimum_action_directions(np.eye(3), covariance)
    assert len(streamed_action.minimum_action_directions(np.eye(3), covariance, 3, tolerance=1e-12)[1]) == 3


def test_a_code_without_variance_has_no_smoothest_direction():
    with pytest.raises(UserError, match="expected at least 3 directions with variance, got 0; read more text"):
        streamed_action.minimum_action_directions(np.zeros((3, 3)), np.zeros((3, 3)))
