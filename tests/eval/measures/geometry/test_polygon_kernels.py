"""Polygons cut by lines and by maxima, small enough to be done by hand; also as plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from eval.measures.geometry import polygon_kernels as kernels

SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
ONE = np.array([0, 4])
EPSILON = 1e-10


def affine(constant: float, du: float, dv: float) -> list[float]:
    """An affine function at the corners (0, 0), (1, 0), (0, 1)."""
    return [constant, constant + du, constant + dv]


def areas(vertices: np.ndarray, offsets: np.ndarray) -> list[float]:
    return sorted(kernels.areas_and_centroids(vertices, offsets)[0].tolist())


def test_area_and_centre_of_mass_are_those_of_the_polygon():
    triangle = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 6.0]])
    shape = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]])  # an L
    line = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    offsets = np.array([0, 3, 9, 12])
    area, centre = kernels.areas_and_centroids(np.concatenate([triangle, shape[::-1], line]), offsets)
    np.testing.assert_allclose(area, [9, 3, 0])
    np.testing.assert_allclose(centre, [[1, 2], [5 / 6, 5 / 6], [2, 2]])


def test_lines_through_a_region_have_unit_gradient():
    values = np.array([affine(0.5, 3, 4), affine(9, 1, 0), affine(0.2, 0, 0), affine(0, -2, 0)]).T[None]
    lines, units, starts = kernels.crossing_lines(SQUARE, ONE, values, np.array([0.0, 1.0]), EPSILON)
    assert units.tolist() == [0, 0, 3, 3] and starts.tolist() == [0, 4]
    np.testing.assert_allclose(lines, [[0.1, 0.6, 0.8], [-0.1, 0.6, 0.8], [0, -1, 0], [-0.5, -1, 0]])


def test_a_line_that_only_touches_a_region_does_not_cross_it():
    values = np.array([affine(1, 1, 0), affine(-1, 1, 0), affine(2, 1, 1), affine(1.9, 1, 1)]).T[None]
    _, units, _ = kernels.crossing_lines(SQUARE, ONE, values, np.array([0.0]), EPSILON)
    assert units.tolist() == [3]


def test_more_lines_than_the_first_table_holds_are_kept():
    values = np.repeat(np.array([affine(0, 1, 0)]).T[None], 1500, axis=2)
    lines, units, starts = kernels.crossing_lines(SQUARE, ONE, values, np.array([0.0]), EPSILON)
    assert units.tolist() == list(range(1500)) and starts[-1] == 1500
    np.testing.assert_allclose(lines, np.tile([0.0, 1.0, 0.0], (1500, 1)))


def cut(lines: list[list[float]], most: int = 100, smallest: float = 0.0):
    return kernels.split_by_lines(SQUARE, ONE, np.array(lines), np.array([0, len(lines)]), EPSILON, most, smallest)


def test_two_lines_make_four_parts_and_three_chords():
    vertices, offsets, parent, chords, left_out, stopped = cut([[0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert areas(vertices, offsets) == pytest.approx([0.5, 0.5, 1.5, 1.5])
    assert parent.tolist() == [0] * 4 and left_out == 0 and not stopped
    ends = sorted([sorted([tuple(chord[:2]), tuple(chord[2:])]) for chord in chords.tolist()])
    assert ends == [[(-1, 0), (-0.5, 0)], [(-0.5, -1), (-0.5, 1)], [(-0.5, 0), (1, 0)]]


def test_a_line_through_two_corners_is_a_diagonal():
    size = 0.5**0.5
    vertices, offsets, _, chords, _, _ = cut([[0.0, size, -size]])
    assert areas(vertices, offsets) == pytest.approx([2, 2])
    assert sorted([tuple(chords[0, :2]), tuple(chords[0, 2:])]) == [(-1, -1), (1, 1)]


def test_parts_below_the_smallest_area_are_counted_and_left_out():
    lines = [[0.9, 1.0, 0.0]]  # a strip of width 0.1 and area 0.2
    vertices, offsets, _, _, left_out, _ = cut(lines, smallest=0.3)
    assert areas(vertices, offsets) == pytest.approx([3.8]) and left_out == 1
    assert cut(lines, smallest=0.1)[4] == 0


def test_too_many_parts_stop_the_cutting():
    lines = [[0.5, 1.0, 0.0], [0.0, 0.0, 1.0], [-0.5, 1.0, 0.0]]
    assert not cut(lines, most=6)[5] and cut(lines, most=5)[5]


def candidates(*functions: list[float]) -> np.ndarray:
    """``[region corner window candidate]`` for one region and one window."""
    return np.array(functions).T[None, :, None, :]


def split(values: np.ndarray, most: int = 100, smallest: float = 0.0):
    return kernels.split_by_maxima(SQUARE, ONE, values, EPSILON, most, smallest)


def test_where_one_candidate_is_highest_throughout_nothing_is_cut():
    low = affine(0, 0.1, 0.2)
    for winner in (affine(1, 0.3, -0.2), affine(0.6, 0.4, 0.3)):
        for values in (candidates(winner, low), candidates(low, winner), candidates(low, winner, [-np.inf] * 3)):
            vertices, offsets, parent, chords, left_out, stopped = split(values)
            assert areas(vertices, offsets) == [4.0] and len(chords) == 0 and not stopped
            assert kernels._settled(SQUARE, values[0, :, 0], EPSILON)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_three_candidates_cut_where_two_are_highest_together(order: tuple[int, ...]):
    """u, -u and a constant 0.5: a middle strip between u = -0.5 and 0.5; where u = 0 the two others tie below it."""
    functions = [affine(0, 1, 0), affine(0, -1, 0), affine(0.5, 0, 0)]
    values = candidates(*(functions[i] for i in order))
    assert not kernels._settled(SQUARE, values[0, :, 0], EPSILON)
    vertices, offsets, parent, chords, _, _ = split(values)
    assert areas(vertices, offsets) == pytest.approx([1, 1, 2]) and parent.tolist() == [0, 0, 0]
    centres = kernels.areas_and_centroids(vertices, offsets)[1]
    np.testing.assert_allclose(np.sort(centres[:, 0]), [-0.75, 0, 0.75], atol=1e-12)
    assert {0.5, -0.5} <= set(np.round(chords[:, 0], 9))


def test_candidates_along_the_second_axis_and_of_equal_height():
    values = candidates(affine(0, 0, 2), affine(0.4, 0, 0), affine(0, 0, 2))
    vertices, offsets, _, _, _, _ = split(values)
    assert areas(vertices, offsets) == pytest.approx([1.6, 2.4])  # the line v = 0.2; equal candidates are one region
    equal = candidates(affine(1, 2, 3), affine(1, 2, 3))
    assert areas(*split(equal)[:2]) == [4.0]


def test_small_cells_are_left_out_and_too_many_stop():
    values = candidates(affine(0, 1, 0), affine(0.9, 0, 0))
    assert split(values, smallest=0.3)[4] == 1 and split(values, smallest=0.1)[4] == 0
    assert split(values, most=1)[5] and not split(values, most=2)[5]


def test_a_winner_is_one_at_every_corner_wherever_they_lie():
    """Corners off the unit square, where neither u nor v is 1: the winner changes at u = 0.4, and at v = -0.3."""
    corners = np.array([[0.25, -0.5], [0.5, -0.5], [0.5, -0.25], [0.25, -0.25]])
    for slope, turn in ((affine(-0.4, 1, 0), 0.4), (affine(0.3, 0, 1), -0.3)):
        values = candidates(slope, affine(0, 0, 0))
        assert not kernels._settled(corners, values[0, :, 0], EPSILON)
        cells, _ = kernels._cells(corners, values[0, :, 0], EPSILON)
        assert len(cells) == 2 and all(np.isclose(cell, turn).any() for cell in cells)
    for shift in (0.26, -0.26):
        for du, dv in ((1, 0), (0, 1), (1, 1)):
            middle = 0.375 * du - 0.375 * dv
            values = candidates(affine(shift * 2 - middle, du, dv), affine(0, 0, 0))
            assert kernels._settled(corners, values[0, :, 0], EPSILON)
            assert kernels._settled(corners, values[0, :, 0][:, ::-1].copy(), EPSILON)
