"""Action: closed form against Monte Carlo and by definition; exact minimum below every sample; refinement law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.measures import projection


def circle_code(n_frames: int, width: int = 60, exponent: float = -2.0, seed: int = 0) -> np.ndarray:
    """A code of a point on a circle with eigenvalues i^exponent in the Fourier basis."""
    angles = 2 * np.pi * np.arange(n_frames) / n_frames
    order = np.arange(1, width // 2 + 1)
    scale = order ** (exponent / 2)
    waves = np.concatenate([np.cos(np.outer(angles, order)) * scale, np.sin(np.outer(angles, order)) * scale], axis=1)
    if width > 100:
        return waves  # a rotation changes no action, and costs width^3
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))
    return waves @ basis


def test_closed_form_and_monte_carlo_agree_within_three_standard_errors():
    frames = circle_code(200)
    projections = projection.random_projections(frames.shape[1], 4000, seed=1)
    sampled = projection.sampled_actions(projection.difference_moment(frames), projections, dt=1 / 200)
    expected = projection.expected_action(projection.difference_moment(frames), frames.shape[1], dt=1 / 200)
    error = sampled.std(ddof=1) / np.sqrt(len(sampled))
    assert abs(sampled.mean() - expected) < 3 * error


@given(st.integers(2, 30), st.integers(1, 8), st.integers(0, 1000), st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_sampled_actions_are_what_projecting_would_give(n_frames, width, seed, dt):
    frames = np.random.default_rng(seed).standard_normal((n_frames, width))
    projections = projection.random_projections(width, 3, dimensions=2, seed=seed)
    sampled = projection.sampled_actions(projection.difference_moment(frames), projections, dt)
    assert np.allclose(sampled, [projection.action(frames @ r, dt) for r in projections])


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_no_sample_is_smoother_than_the_exact_minimum(seed):
    generator = np.random.default_rng(seed)
    frames = np.cumsum(generator.standard_normal((50, 10)), axis=0) * generator.uniform(0.1, 2, 10)
    centred = frames - frames.mean(0)
    differences, covariance = projection.difference_moment(frames), centred.T @ centred
    directions, ratios = projection.minimum_action_directions(differences, covariance)
    sampled = projection.normalised_actions(differences, covariance, projection.random_projections(10, 500, seed=seed))
    assert sampled.min() >= ratios[0] - 1e-12
    assert np.allclose(np.einsum("wk,wv,vk->k", directions, differences, directions) / 2, ratios)
    assert np.allclose(directions.T @ covariance @ directions, np.eye(3), atol=1e-8)


def test_slow_feature_is_found():
    """One slow sine among fast noise is the first direction."""
    generator = np.random.default_rng(0)
    time = np.arange(2000)
    mixing, _ = np.linalg.qr(generator.standard_normal((6, 6)))
    sources = generator.standard_normal((2000, 6))
    sources[:, 0] = np.sin(2 * np.pi * time / 1000)
    frames = sources @ mixing
    centred = frames - frames.mean(0)
    directions, _ = projection.minimum_action_directions(projection.difference_moment(frames), centred.T @ centred, 1)
    assert abs(np.corrcoef(frames @ directions[:, 0], sources[:, 0])[0, 1]) > 0.999


def test_white_noise_has_action_one_per_variance():
    frames = np.random.default_rng(0).standard_normal((20000, 4))
    centred = frames - frames.mean(0)
    ratio = projection.normalised_actions(
        projection.difference_moment(frames), centred.T @ centred, projection.random_projections(4, 5)
    )
    assert np.allclose(ratio, 1, atol=0.05)


@pytest.mark.parametrize(("exponent", "slope"), [(-1.5, 1.5), (-2.5, 0.5), (-3.5, 0.0)])
def test_growth_of_the_action_with_frames(exponent, slope):
    """SCIENCE section 2: 1.5, .5 and 0 at |alpha| = 1.5, 2.5, 3.5, for a code of endless width."""
    found, _ = projection.refinement_slope(lambda n: circle_code(n, 4096, exponent), [64, 128, 256, 512])
    assert found == pytest.approx(slope, abs=0.16)


def test_zeta_only_where_it_converges():
    value, kind = projection.eigenvalue_sum(-2.0, 10)
    assert kind == "zeta" and value == pytest.approx(np.pi**2 / 6)
    value, kind = projection.eigenvalue_sum(-1.0, 3)
    assert kind == "partial sum of 3" and value == pytest.approx(1 + 1 / 2 + 1 / 3)


def test_explained_variance_against_scikit_learn():
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    generator = np.random.default_rng(0)
    projected = generator.standard_normal((80, 3))
    stimulus = projected @ generator.standard_normal((3, 2)) + 0.5 * generator.standard_normal((80, 2))
    arcs = projection.arc_split(80)
    predicted = cross_val_predict(LinearRegression(), projected, stimulus, groups=arcs, cv=GroupKFold(8))
    means = np.stack([stimulus[arcs != arc].mean(0) for arc in arcs])
    expected = 1 - ((stimulus - predicted) ** 2).sum() / ((stimulus - means) ** 2).sum()
    assert projection.explained_variance(projected, stimulus).value == pytest.approx(expected)


def test_degenerate_cases():
    constant = np.ones((5, 3))
    assert projection.action(constant) == 0
    assert projection.explained_variance(constant, np.ones((5, 1)), np.arange(5)).reason == "the stimulus does not vary"
    with pytest.raises(ValueError, match="expected at least 3 directions with variance, got 0"):
        projection.minimum_action_directions(np.zeros((3, 3)), np.zeros((3, 3)))
