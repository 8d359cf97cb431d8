"""Action and projections against closed forms and Monte Carlo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from eval.errors import UserError
from eval.measures.projections.projection import (
    action,
    action_per_trace,
    action_per_variance,
    circle_code,
    expected_action,
    explained_variance,
    held_out_arcs,
    minimum_action,
    random_projections,
    refinement_slope,
    sampled_actions,
    total_variance,
)

CIRCLE = circle_code(200, 200, -2.0)
DT = 2 * np.pi / 200


def test_circle_code_closed_form_and_monte_carlo():
    assert expected_action(CIRCLE, DT) == pytest.approx(3.614, abs=5e-4)
    drawn = sampled_actions(CIRCLE, 1500, DT)
    assert drawn.mean() == pytest.approx(3.614, abs=4 * drawn.std() / np.sqrt(1500))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 20), st.integers(1, 10), st.integers(1, 4), st.floats(0.1, 3), st.floats(0.1, 5))
def test_expected_action_scales(frames, width, dimensions, dt, scale):
    trajectory = np.random.default_rng(frames).standard_normal((frames, width))
    base = expected_action(trajectory, dt, dimensions)
    assert expected_action(scale * trajectory + 7, dt, dimensions) == pytest.approx(scale**2 * base)
    assert expected_action(trajectory, 2 * dt, 2 * dimensions) == pytest.approx(base)
    if np.var(trajectory) > 0:
        ratio = action_per_trace(trajectory, dt)
        assert action_per_trace(scale * trajectory, dt) == pytest.approx(ratio)


def test_action_of_drawn_paths_is_what_sampling_returns():
    projections = random_projections(200, 3, seed=1)
    direct = [0.5 * np.sum((np.diff(CIRCLE @ r, axis=0) / DT) ** 2) * DT for r in projections]
    np.testing.assert_allclose(action(CIRCLE @ projections, DT), direct)
    assert random_projections(400, 50).var() == pytest.approx(1 / 400, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 40), st.integers(3, 12), st.integers(0, 9))
def test_no_projection_is_below_the_exact_minimum(frames, width, seed):
    trajectory = np.random.default_rng(seed).standard_normal((frames, width)).cumsum(0)
    exact = minimum_action(trajectory, n_dimensions=1)
    drawn = action_per_variance(trajectory, random_projections(width, 200, 1, seed))
    assert exact.action_per_variance[0] <= drawn.min() * (1 + 1e-9)
    reached = action_per_variance(trajectory, exact.directions)
    assert reached == pytest.approx(exact.action_per_variance[0], rel=1e-6)


def test_minimum_action_unmixes_a_slow_source():
    time = np.linspace(0, 2 * np.pi, 400)
    sources = np.column_stack([np.sin(time), np.sin(11 * time), np.sin(29 * time)])
    mixed = sources @ np.random.default_rng(0).standard_normal((3, 6))
    slow = mixed @ minimum_action(mixed, n_dimensions=1).directions[:, 0]
    assert abs(np.corrcoef(slow, sources[:, 0])[0, 1]) > 0.999
    assert slow.var() == pytest.approx(1)


@pytest.mark.parametrize(("exponent", "slope"), [(-1.5, 1.5), (-2.5, 0.5), (-3.5, 0.0)])
def test_refinement_slope_of_power_law_codes(exponent, slope):
    frames = [128, 256, 512, 1024]
    actions = [expected_action(circle_code(n, 4 * n, exponent), 2 * np.pi / n) * 4 * n for n in frames]
    assert refinement_slope(np.array(frames), np.array(actions)) == pytest.approx(slope, abs=0.06)


def test_zeta_only_below_minus_one():
    assert total_variance(-2.0, 10) == (pytest.approx(np.pi**2 / 6), "zeta")
    assert total_variance(-1.0, 3) == (pytest.approx(1 + 1 / 2 + 1 / 3), "partial sum")


def test_explained_variance_holds_out_arcs():
    held = held_out_arcs(200, seed=0)
    assert held.mean() == pytest.approx(0.5) and np.abs(np.diff(held.astype(int))).sum() <= 8
    stimulus = CIRCLE[:, :2]
    assert explained_variance(CIRCLE[:, :3], stimulus, held) == pytest.approx(1)
    noise = np.random.default_rng(0).standard_normal((200, 3))
    assert explained_variance(noise, stimulus, held) < 0.2
    assert np.isnan(explained_variance(noise, np.ones((200, 1)), held))


def test_explained_variance_is_the_held_out_r2_of_least_squares():
    generator = np.random.default_rng(0)
    path, noise = generator.standard_normal((40, 2)), generator.standard_normal((40, 3))
    stimulus = path @ generator.standard_normal((2, 3)) + 2 * noise + [1, 2, 3]
    held = np.arange(40) % 4 == 0
    fitted = LinearRegression().fit(path[~held], stimulus[~held]).predict(path[held])
    left, all_of_it = (stimulus[held] - fitted) ** 2, (stimulus[held] - stimulus[~held].mean(0)) ** 2
    found = explained_variance(path, stimulus, held)
    assert found == pytest.approx(1 - left.sum() / all_of_it.sum()) and 0 < found < 0.9
    assert np.isnan(explained_variance(path, np.ones((40, 3)), held))


def test_error_texts():
    with pytest.raises(
        UserError, match=r"expected a trajectory \[frame >= 2, width\]; got \[1, 4\]; pass frames as rows"
    ):
        expected_action(np.ones((1, 4)))
    with pytest.raises(UserError, match=r"expected dt > 0; got 0"):
        expected_action(np.ones((3, 4)), 0.0)
    with pytest.raises(UserError, match=r"expected finite activations along the trajectory"):
        sampled_actions(np.full((3, 4), np.inf))
    with pytest.raises(UserError, match=r"spans at least 3 directions; got 0; use more frames"):
        minimum_action(np.ones((5, 4)))
    with pytest.raises(UserError, match=r"expected held-out frames and at least 5 training frames; got 4 and 0"):
        explained_variance(np.ones((4, 3)), np.ones((4, 1)), np.ones(4, dtype=bool))
    with pytest.raises(UserError, match=r"at least two positive"):
        refinement_slope(np.ones(1), np.ones(1))


def test_the_slowest_directions_do_not_depend_on_the_scale_of_the_code():
    """A direction a thousandth of the largest counts at every scale; one far below the tolerance at none."""
    time = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    sources = np.column_stack([np.sin(9 * time), 1e-3 * np.sin(time), 1e-3 * np.sin(2 * time), 1e-9 * np.cos(time)])
    values = []
    for scale in (1.0, 1e4, 1e-4):
        found = minimum_action(scale * sources, n_dimensions=3)
        values.append(found.action_per_variance)
        assert action_per_variance(scale * sources, found.directions[:, :1]) == pytest.approx(values[-1][0])
        with pytest.raises(UserError, match="spans at least 4 directions; got 3"):
            minimum_action(scale * sources, n_dimensions=4)
    np.testing.assert_allclose(values[1:], [values[0]] * 2, rtol=1e-6)
    steps = [np.mean(np.diff(np.sin(k * time)) ** 2) * 199 / 2 / 0.5 for k in (1, 2, 9)]
    np.testing.assert_allclose(values[0], steps, rtol=2e-2)


def test_frames_further_apart_move_as_much_in_more_time():
    assert minimum_action(CIRCLE, 0.5).action_per_variance == pytest.approx(
        2 * minimum_action(CIRCLE, 1.0).action_per_variance
    )
    assert action_per_variance(CIRCLE, np.eye(200)[:, :2], 4.0) == pytest.approx(
        action_per_variance(CIRCLE, np.eye(200)[:, :2]) / 4
    )


def test_size_relative_action_divides_by_the_variance_of_all_columns():
    trajectory = np.random.default_rng(0).standard_normal((30, 4)).cumsum(0)
    trace = np.trace(np.cov(trajectory.T, ddof=0))
    assert action_per_trace(trajectory, 0.5, 2) == pytest.approx(expected_action(trajectory, 0.5, 2) / trace)
    assert np.isnan(action_per_trace(np.ones((4, 2))))


def test_two_turns_repeat_and_columns_are_cosines_then_sines_of_rising_frequency():
    code = circle_code(40, 6, -2.0, n_turns=2.0)
    np.testing.assert_allclose(code[:20], code[20:], atol=1e-12)
    time = np.linspace(0, 4 * np.pi, 40, endpoint=False)
    for k in (1, 2, 3):
        np.testing.assert_allclose(code[:, 2 * k - 2], np.cos(k * time) / k, atol=1e-12)
        np.testing.assert_allclose(code[:, 2 * k - 1], np.sin(k * time) / k, atol=1e-12)


@pytest.mark.parametrize("n_arcs", [8, 5])
def test_held_out_arcs_are_whole_and_half_of_them(n_arcs):
    held = held_out_arcs(120, n_arcs, seed=2)
    arcs = held.reshape(n_arcs, -1)
    assert (arcs.all(1) | ~arcs.any(1)).all() and arcs.all(1).sum() == n_arcs // 2


@pytest.mark.parametrize(("counts", "actions"), [([0, 2], [1, 2]), ([1, 2], [1, 0])])
def test_refinement_needs_pairs_of_positive_numbers(counts, actions):
    with pytest.raises(UserError, match="at least two positive"):
        refinement_slope(np.array(counts), np.array(actions))
    assert refinement_slope(np.array([1, 10]), np.array([3.0, 300.0])) == pytest.approx(2)


def test_explained_variance_needs_two_frames_more_than_dimensions():
    path, stimulus = np.random.default_rng(0).standard_normal((2, 6, 3))
    held = np.arange(6) < 1
    assert np.isfinite(explained_variance(path, stimulus, held))
    with pytest.raises(UserError, match="at least 5 training frames; got 2 and 4"):
        explained_variance(path, stimulus, np.arange(6) < 2)
