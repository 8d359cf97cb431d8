"""Exact slices: areas add up, codes are distinct and the network's own, and the cap says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from eval.errors import UserError
from eval.measures.geometry.piecewise_linear import code_of
from eval.measures.geometry.planes import Plane, plane_along, plane_through
from eval.measures.geometry.segments import segment_crossings
from eval.measures.geometry.slices import Slice, plane_slice
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import everything, perceptron


def _check(found: Slice, program) -> None:
    assert found.area.sum() == pytest.approx(found.plane.area, rel=1e-6)
    codes = found.centroid_codes(program)
    assert len(torch.unique(codes, dim=0)) == found.n_regions
    truth = program.to(torch.float64)(found.plane.points(found.centroid)).flatten(1).numpy()
    np.testing.assert_allclose(found.values, truth, atol=1e-9 * max(1, abs(truth).max()))


def test_four_quadrants() -> None:
    program = trace(F.relu, torch.zeros(2))
    origin = torch.zeros(2)
    plane = plane_along(origin, torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), 2.0)
    found = plane_slice(program, plane)
    assert found.n_regions == 4 and found.complete
    np.testing.assert_allclose(found.area, 4.0)
    np.testing.assert_allclose(np.abs(found.centroid), 1.0)
    assert len(found.boundaries["relu"]) == 3  # one line across, then one in each half


def test_line_arrangement_has_the_number_of_regions_of_the_formula() -> None:
    """n lines in general position, all crossing pairs inside a huge window: 1 + n + n(n-1)/2."""
    torch.manual_seed(0)
    program = trace(perceptron(2, 12, 1), torch.zeros(2))
    plane = plane_along(torch.zeros(2), torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), 1e4)
    assert plane_slice(program, plane).n_regions == 1 + 12 + 12 * 11 // 2


def test_deep_perceptron_regions_are_distinct_and_its_own() -> None:
    program = trace(perceptron(10, 30, 30, 30, 4), torch.zeros(10))
    plane, corners = plane_through(torch.randn(3, 10), margin=0.1)
    found = plane_slice(program, plane)
    _check(found, program)
    assert found.n_regions > 300
    own = code_of(program.to(torch.float64), plane.points(corners))
    distinct = {tuple(row) for row in found.centroid_codes(program).tolist()}
    assert all(tuple(row) in distinct for row in own.tolist())


@pytest.mark.parametrize("seed", range(2))
def test_every_building_block_incl_max_pool(seed: int) -> None:
    program = trace(everything(seed), torch.randn(3, 9, 9))
    plane, _ = plane_through(torch.randn(3, 3, 9, 9))
    found = plane_slice(program, plane.zoomed(0.15))
    _check(found, program)
    assert found.n_regions > 20 and any(len(cuts) for site, cuts in found.boundaries.items() if "max_pool" in site)


def test_crossings_along_a_chord_match_the_regions_it_visits() -> None:
    program = trace(perceptron(6, 20, 20, 2), torch.zeros(6))
    plane, corners = plane_through(torch.randn(3, 6))
    found = plane_slice(program, plane)
    ends = plane.points(corners[:2])
    crossings = segment_crossings(program, ends[0], ends[1])
    middles = (np.concatenate([[0], crossings.t]) + np.concatenate([crossings.t, [1]])) / 2
    points = corners[0] + middles[:, None] * (corners[1] - corners[0])
    visited = code_of(program.to(torch.float64), plane.points(points))
    known = {tuple(row) for row in found.centroid_codes(program).tolist()}
    assert len(torch.unique(visited, dim=0)) > 3 and all(tuple(row) in known for row in visited.tolist())


@pytest.mark.parametrize("cap", [1, 7, 200])
def test_a_capped_slice_holds_the_largest_regions_each_exact(cap: int) -> None:
    program = trace(perceptron(10, 30, 30, 30, 4), torch.zeros(10))
    plane, _ = plane_through(torch.randn(3, 10))
    whole = plane_slice(program, plane)
    found = plane_slice(program, plane, max_regions=cap)
    assert whole.complete and whole.n_regions > 300 and whole.covered == pytest.approx(1, rel=1e-6)
    assert not found.complete and found.n_regions == cap
    np.testing.assert_allclose(np.sort(found.area), np.sort(whole.area)[-cap:], rtol=1e-9)
    assert found.covered == pytest.approx(found.area.sum() / plane.area)
    known = {tuple(row) for row in whole.centroid_codes(program).tolist()}
    own = found.centroid_codes(program)
    assert len(torch.unique(own, dim=0)) == cap and all(tuple(row) in known for row in own.tolist())
    truth = program.to(torch.float64)(plane.points(found.centroid)).numpy()
    np.testing.assert_allclose(found.values, truth, atol=1e-9 * abs(truth).max())


def test_a_cap_that_is_never_reached_changes_nothing() -> None:
    program = trace(perceptron(6, 20, 20, 2), torch.zeros(6))
    plane, _ = plane_through(torch.randn(3, 6))
    whole = plane_slice(program, plane)
    found = plane_slice(program, plane, max_regions=whole.n_regions)
    assert found.complete and found.n_regions == whole.n_regions
    one_less = plane_slice(program, plane, max_regions=whole.n_regions - 1)
    assert not one_less.complete and one_less.n_regions == whole.n_regions - 1
    assert one_less.area.min() >= whole.area.min()


def test_the_cap_on_a_window_with_too_many_regions_is_kept() -> None:
    """A small convolutional network with a max-pool: 8,322 regions came back for a cap of 5,000, none resolved."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    program = trace(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 36, 3)).eval(), torch.zeros(1, 12, 12))
    plane, _ = plane_through(torch.randn(3, 1, 12, 12))
    found = plane_slice(program, plane, max_regions=300)
    assert found.n_regions == 300 and not found.complete and 0 < found.covered < 1
    codes = found.centroid_codes(program)
    assert len(torch.unique(codes, dim=0)) == 300
    truth = program.to(torch.float64)(plane.points(found.centroid)).numpy()
    np.testing.assert_allclose(found.values, truth, atol=1e-9 * abs(truth).max())


def test_small_chunks_change_nothing() -> None:
    program = trace(perceptron(6, 20, 20, 2), torch.zeros(6))
    plane, _ = plane_through(torch.randn(3, 6))
    a, b = plane_slice(program, plane), plane_slice(program, plane, memory_values=20 * 3 * 7)
    np.testing.assert_allclose(np.sort(a.area), np.sort(b.area), rtol=1e-9, atol=1e-12)


def test_bad_planes_are_refused() -> None:
    x = torch.randn(4)
    with pytest.raises(UserError, match="span a plane; they lie on one line"):
        plane_through([x, 2 * x, 5 * x])
    with pytest.raises(UserError, match="they lie on one line"):
        plane_through([x, x, 2 * x])
    with pytest.raises(UserError, match="expected three points; got 2"):
        plane_through([x, 2 * x])
    with pytest.raises(UserError, match="positive half width; got 0.0"):
        plane_along(x, torch.randn(4), torch.randn(4), 0.0)
    with pytest.raises(UserError, match="got a smooth activation"):
        plane, _ = plane_through(torch.randn(3, 4))
        plane_slice(trace(torch.nn.GELU(), torch.zeros(4)), plane)


def test_a_zoom_is_a_window_of_that_share_around_its_centre() -> None:
    plane = Plane(torch.zeros(2), torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), (1.0, 5.0, -2.0, 4.0))
    assert plane.area == 24
    assert plane.zoomed(0.5).extent == (2.0, 4.0, -0.5, 2.5)
    assert plane.zoomed(0.25, (2.0, 0.0)).extent == (1.5, 2.5, -0.75, 0.75)


def test_a_plane_holds_its_points_in_a_square_with_the_margin() -> None:
    points = torch.tensor([[1.0, 1, 0], [5.0, 1, 0], [2.0, 3, 0]])
    plane, corners = plane_through(points, margin=0.25)
    np.testing.assert_allclose(corners, [[0, 0], [4, 0], [1, 2]])
    np.testing.assert_allclose(plane.points(corners).numpy(), points.numpy(), atol=1e-12)
    assert plane.extent == (-1.0, 5.0, -2.0, 4.0)
    with pytest.raises(UserError, match="expected a positive half width; got 0.0"):
        plane_along(points[0], points[1], points[2], 0.0)
    with pytest.raises(UserError, match="expected three points; got 2; a plane needs exactly three"):
        plane_through(points[:2])
    for line in (points[[0, 0, 1]], points[[0, 1, 0]], torch.tensor([[0.0, 0], [1, 1], [3, 3]])):
        with pytest.raises(UserError, match="expected three points that span a plane; they lie on one line"):
            plane_through(line)


def test_slopes_are_the_change_of_the_outputs_across_the_plane() -> None:
    program = trace(perceptron(3, 8, 2), torch.zeros(3)).to(torch.float64)
    plane = plane_along(torch.zeros(3), torch.tensor([1.0, 0, 1]), torch.tensor([0, 1.0, 0]), 2.0)
    found = plane_slice(program, plane)
    step = 1e-6
    for axis in range(2):
        moved = found.centroid + step * np.eye(2)[axis]
        change = (program(plane.points(moved)) - program(plane.points(found.centroid))).numpy() / step
        np.testing.assert_allclose(found.slopes[..., axis], change, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_plane_has_orthonormal_axes_at_every_scale(scale: float) -> None:
    points = scale * torch.randn(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plane, corners = plane_through(points)
    axes = torch.stack([plane.first, plane.second])
    torch.testing.assert_close(axes @ axes.T, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(plane.points(corners).reshape(3, 7), points)


def test_regions_and_boundaries_are_in_the_coordinates_of_the_plane() -> None:
    """A window from -2 to 4 by -5 to 1: the two kinks lie on the axes, and end at the window's sides."""
    program = trace(F.relu, torch.zeros(2))
    plane = Plane(torch.zeros(2), torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), (-2.0, 4.0, -5.0, 1.0))
    found = plane_slice(program, plane)
    ends = np.concatenate([found.boundaries["relu"][:, :2], found.boundaries["relu"][:, 2:]])
    assert {tuple(end) for end in np.round(ends, 9) + 0.0} == {(0, 0), (0, 1), (0, -5), (-2, 0), (4, 0)}
    assert {tuple(v) for v in np.round(found.vertices, 9) + 0.0} == {(u, v) for u in (-2, 0, 4) for v in (-5, 0, 1)}
    np.testing.assert_allclose(np.sort(found.area), [2, 4, 10, 20])
