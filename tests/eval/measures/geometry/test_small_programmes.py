"""The walk to an optimum against HiGHS, on polytopes of many shapes, and what it does where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from eval.measures.geometry import small_programmes
from eval.measures.geometry.small_programmes import _climb, largest_ball, middle_of_wall


def polytope(n: int, walls: int, seed: int, closed: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random walls around a point that is not the origin; `closed`: a box too, with corners where many walls meet."""
    generator = np.random.default_rng(seed)
    normals = generator.normal(size=(walls, n))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    inside = generator.normal(size=n)
    offsets = normals @ inside + generator.uniform(0.01, 2, walls)
    if closed:
        normals = np.r_[normals, np.eye(n), -np.eye(n)]
        offsets = np.r_[offsets, inside + 1.5, 1.5 - inside]
    return normals, offsets, inside


def highs_radius(normals: np.ndarray, offsets: np.ndarray) -> float:
    n = normals.shape[1]
    found = linprog(
        np.r_[np.zeros(n), -1.0], A_ub=np.c_[normals, np.ones(len(normals))], b_ub=offsets,
        bounds=[(None, None)] * n + [(0, None)],
    )  # fmt: skip
    return np.inf if found.status == 3 else float(found.x[n])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 12])
def test_the_largest_ball_is_that_of_highs(n: int) -> None:
    for seed in range(12):
        normals, offsets, inside = polytope(n, int(np.random.default_rng(seed).integers(1, 5 * n)), seed, seed % 3 > 0)
        centre, radius = largest_ball(normals, offsets, inside)
        expected = highs_radius(normals, offsets)
        assert radius == pytest.approx(expected, rel=1e-7)
        if np.isfinite(expected):
            assert (offsets - normals @ centre).min() == pytest.approx(radius, rel=1e-12)
        else:
            assert centre is inside


def test_copies_of_a_wall_and_a_box_of_many_equal_corners_end_the_walk() -> None:
    normals = np.r_[np.eye(4), -np.eye(4), np.eye(4), -np.eye(4)]
    place, state = _climb(np.c_[normals, np.ones(16)], np.ones(16), np.r_[np.zeros(4), 1.0], np.zeros(5), 0)
    assert state == small_programmes.OPTIMUM and place[4] == pytest.approx(1)
    centre, radius = largest_ball(normals, np.ones(16), np.full(4, 0.3))
    assert radius == pytest.approx(1) and np.abs(centre).max() < 1e-12


def test_no_walls_no_inside_and_balls_of_any_size() -> None:
    origin = np.zeros(2)
    assert largest_ball(np.empty((0, 2)), np.empty(0), origin) == (origin, np.inf)
    assert largest_ball(np.array([[1.0, 0.0]]), np.array([1.0]), origin)[1] == np.inf
    gone = largest_ball(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([-1.0, -1.0]), origin)
    assert gone[1] == 0 and gone[0] is origin


def test_a_needle_far_from_the_origin_keeps_its_digits() -> None:
    at = np.array([1e6, -3e5])
    normals = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    offsets = np.array([at[0] + 1e-4, -at[0] + 1e-4, at[1] + 500, -at[1] + 500])
    assert largest_ball(normals, offsets, at)[1] == pytest.approx(1e-4, rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_walls_that_bound_are_those_of_highs_and_their_middle_lies_in_them(n: int) -> None:
    kept = 0
    for seed in range(6):
        normals, offsets, inside = polytope(n, 3 * n + 2, seed)
        for wall in range(len(normals)):
            place = middle_of_wall(normals, offsets, wall, inside)
            others = np.arange(len(normals)) != wall
            best = linprog(-normals[wall], A_ub=normals[others], b_ub=offsets[others], bounds=[(None, None)] * n)
            bounds_cell = best.status == 3 or -best.fun > offsets[wall] + 1e-8
            assert (place is not None) == bounds_cell
            if place is not None:
                kept += 1
                room = offsets - normals @ place
                assert room[wall] == pytest.approx(0, abs=1e-9) and room[others].min() > 1e-9
    assert kept > 10


def test_walls_that_meet_only_in_an_edge_bound_nothing() -> None:
    diagonal = np.array([1.0, 1.0]) / 2**0.5
    normals, offsets = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1], diagonal]), np.array([1.0, 1, 1, 1, 2**0.5])
    assert middle_of_wall(normals, offsets, 4, np.zeros(2)) is None
    assert middle_of_wall(normals, offsets - [0, 0, 0, 0, 0.1], 4, np.zeros(2)) is not None


def test_highs_answers_where_the_walk_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    normals, offsets, inside = polytope(3, 9, 1)
    expected = largest_ball(normals, offsets, inside)[1]
    middles = [middle_of_wall(normals, offsets, wall, inside) for wall in range(len(normals))]
    monkeypatch.setattr(small_programmes, "MOST_UNKNOWNS", 0)
    assert largest_ball(normals, offsets, inside)[1] == pytest.approx(expected, rel=1e-9)
    for wall, middle in enumerate(middles):
        again = middle_of_wall(normals, offsets, wall, inside)
        assert (again is None) == (middle is None)
