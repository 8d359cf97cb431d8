"""The cell of a point: half-spaces by hand, the network's own values, facets that cannot be left out, volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from eval.errors import UserError
from eval.measures.geometry.affine_maps import nearest_boundary
from eval.measures.geometry.cell_walls import cell_of
from eval.measures.geometry.cells import BOX, _from_corners, _shoot
from eval.measures.geometry.piecewise_linear import code_of
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import everything, perceptron


def test_a_quadrant_by_hand() -> None:
    program = trace(F.relu, torch.zeros(2))
    cell = cell_of(program, torch.tensor([1.0, -2.0]), (-3.0, 3.0))
    assert sorted(map(tuple, cell.vertices.round(9) + 0.0)) == [(0, -3), (0, 0), (3, -3), (3, 0)]
    assert cell.volume.value == pytest.approx(9) and cell.inradius == pytest.approx(1.5)
    np.testing.assert_allclose(cell.centre, [1.5, -1.5])
    np.testing.assert_allclose(cell.matrix, [[1, 0], [0, 0]])
    assert sorted(cell.site[cell.facets]) == [BOX, BOX, 0, 0] and len(cell.facets) == 4
    free = cell_of(program, torch.tensor([1.0, -2.0]))
    assert len(free.facets) == 2 and free.inradius == np.inf
    assert "inradius is inf; give a box" in (free.volume.reason or "")


def test_relu6_and_leaky_have_one_wall_for_each_neighbouring_threshold() -> None:
    cell = cell_of(trace(F.relu6, torch.zeros(1)), torch.tensor([2.0]))
    assert cell.vertices.ravel().tolist() == [0, 6] and cell.volume.value == 6
    assert len(cell_of(trace(F.relu6, torch.zeros(1)), torch.tensor([7.0])).facets) == 1


def test_max_pool_walls_are_where_another_candidate_overtakes() -> None:
    program = trace(lambda x: F.max_pool2d(x, 2), torch.zeros(1, 2, 2))
    cell = cell_of(program, torch.tensor([[[3.0, 1.0], [0.0, 2.0]]]))
    assert len(cell.facets) == 3
    inside = cell.point + np.array([0, 1.9, 0, 0])
    assert cell.contains(np.stack([inside, inside + [0, 0.2, 0, 0]])).tolist() == [True, False]


@pytest.mark.parametrize("seed", range(3))
def test_points_of_the_cell_are_those_with_its_code_and_its_map(seed: int) -> None:
    torch.manual_seed(seed)
    program = trace(perceptron(3, 14, 14, 4, seed=seed), torch.zeros(3)).to(torch.float64)
    x = torch.randn(3, dtype=torch.float64)
    cell = cell_of(program, x, (-2.0, 2.0)) if bool((x.abs() < 2).all()) else cell_of(program, 0.4 * x, (-2.0, 2.0))
    points = np.random.default_rng(seed).uniform(-2, 2, size=(20_000, 3))
    codes = code_of(program, torch.tensor(points)).numpy()
    same = (codes == cell.symbols).all(1)
    assert (cell.contains(points) == same).all()
    share = cell.volume.value / 4**3  # type: ignore[operator]
    assert abs(same.mean() - share) < 4 * (share / len(points)) ** 0.5 + 1e-4
    inner = cell.vertices.mean(0) + 0.9 * (cell.vertices - cell.vertices.mean(0))
    truth = program(torch.tensor(inner)).numpy()
    np.testing.assert_allclose(inner @ cell.matrix.T + cell.shift, truth, atol=1e-9)


def test_no_facet_can_be_left_out_and_the_others_can() -> None:
    program = trace(perceptron(4, 12, 12, 3), torch.zeros(4))
    cell = cell_of(program, torch.full((4,), 0.3), (-1.0, 1.0))
    points = np.random.default_rng(0).uniform(-1, 1, size=(50_000, 4)) * 1.2
    whole = cell.contains(points)
    kept = (points @ cell.normals[cell.facets].T <= cell.offsets[cell.facets]).all(1)
    assert (whole == kept).all() and len(cell.facets) < len(cell.normals)
    on_wall = cell.facet_points @ cell.normals.T - cell.offsets
    for row, wall in enumerate(cell.facets):
        assert abs(on_wall[row, wall]) < 1e-9 and (np.delete(on_wall[row], wall) < 0).all()


def test_the_inradius_is_the_distance_of_the_centre_to_the_nearest_wall() -> None:
    program = trace(perceptron(3, 10, 10, 2), torch.zeros(3)).to(torch.float64)
    cell = cell_of(program, torch.full((3,), 0.2), (-5.0, 5.0))
    reach = nearest_boundary(program, torch.tensor(cell.centre))[0].distance.value
    to_box = (5 - abs(cell.centre)).min()
    assert cell.inradius == pytest.approx(min(reach, to_box), rel=1e-6)  # type: ignore[type-var]


def test_distance_of_a_point_to_a_cell() -> None:
    cell = cell_of(trace(F.relu, torch.zeros(2)), torch.tensor([1.0, -2.0]))
    assert cell.distance(np.array([-3.0, 4.0])) == pytest.approx(5)
    assert cell.distance(np.array([2.0, 4.0])) == pytest.approx(4) and cell.distance(np.array([2.0, -4.0])) == 0


def test_the_decision_boundary_inside_a_cell_is_where_two_outputs_are_equal() -> None:
    program = trace(perceptron(2, 8, 3), torch.zeros(2)).to(torch.float64)
    found = 0
    for place in np.random.default_rng(0).uniform(-2, 2, size=(30, 2)):
        cell = cell_of(program, torch.tensor(place), (-2.0, 2.0))
        out = cell.vertices @ cell.matrix.T + cell.shift
        sides = out[:, 0] - out[:, 1]
        boundary = cell.decision_boundary(0, 1)
        assert (boundary is not None) == bool((sides > 1e-8).any() and (sides < -1e-8).any())
        if boundary is not None:
            at = cell.centre + (boundary[1] - boundary[0] @ cell.centre) * boundary[0]
            values = at @ cell.matrix.T + cell.shift
            assert values[0] == pytest.approx(values[1], abs=1e-9)
            found += 1
    assert found > 0


def test_a_convolutional_network_with_every_block_has_cells() -> None:
    program = trace(everything(), torch.randn(3, 9, 9)).to(torch.float64)
    x = torch.randn(3, 9, 9, dtype=torch.float64)
    cell = cell_of(program, x)
    assert cell.inradius > 0
    ball = np.random.default_rng(0).normal(size=(6, x.numel()))
    near = cell.centre + 0.99 * cell.inradius * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    codes = code_of(program, torch.tensor(near).reshape(-1, 3, 9, 9)).numpy()
    assert (codes == cell.symbols).all()
    truth = program(torch.tensor(near).reshape(-1, 3, 9, 9)).flatten(1).numpy()
    np.testing.assert_allclose(near @ cell.matrix.T + cell.shift, truth, atol=1e-9)


def test_bad_points_are_named() -> None:
    program = trace(F.relu, torch.zeros(2))
    with pytest.raises(UserError, match="expected a point inside the box"):
        cell_of(program, torch.tensor([1.0, 5.0]), (-3.0, 3.0))
    with pytest.raises(UserError, match="x lies exactly on a boundary"):
        cell_of(program, torch.tensor([0.0, 1.0]))
    with pytest.raises(UserError, match="got a smooth activation"):
        cell_of(trace(nn.GELU(), torch.zeros(2)), torch.ones(2))
    many = cell_of(trace(F.relu, torch.zeros(9)), torch.ones(9), (-3.0, 3.0))
    assert "expected at most 6 dimensions for vertices; got 9" in (many.volume.reason or "")


def test_rays_name_no_wall_that_another_one_shares() -> None:
    """Two walls in one place are met at once: neither is told from the other by a ray."""
    normals = np.array([[1.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    hit = _shoot(normals, np.array([1.0, 1, 1, 1, 1]), np.zeros(2))
    assert sorted(hit) == [2, 3, 4]
    assert all(normals[wall] @ place == pytest.approx(1) for wall, place in hit.items())


def test_far_from_the_origin_the_map_keeps_its_digits() -> None:
    program = trace(perceptron(3, 10, 10, 4, seed=1), torch.zeros(3)).to(torch.float64)
    x = 1e8 * torch.tensor([0.3, -0.7, 0.5], dtype=torch.float64)
    cell = cell_of(program, x)
    expected = torch.autograd.functional.jacobian(lambda p: program(p[None])[0], x).numpy()
    np.testing.assert_allclose(cell.matrix, expected, rtol=1e-12, atol=1e-13)


def test_walls_of_pool_windows_belong_to_their_window() -> None:
    program = trace(lambda x: F.max_pool2d(x, (1, 2)), torch.zeros(1, 1, 6))
    cell = cell_of(program, torch.tensor([[[3.0, 1, 4, 5, 9, 2]]]))
    assert cell.unit.tolist() == [0, 1, 2] and cell.site.tolist() == [0, 0, 0]
    distance = np.abs(cell.normals @ np.array([3.0, 1, 4, 5, 9, 2]) - cell.offsets)
    np.testing.assert_allclose(distance * 2**0.5, [2, 1, 7], rtol=1e-6)


def test_facets_from_corners_stand_at_their_mean_and_are_refused_where_another_wall_lies_there() -> None:
    corners = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    normals = np.array([[-1.0, 0.0], [0.0, -1.0], [0.5**0.5, 0.5**0.5], [1.0, 0.0]])
    offsets = np.array([0.0, 0.0, 2**0.5, 5.0])
    meet = [[0, 1], [1, 2], [0, 2]]
    found = _from_corners(corners, meet, normals, offsets)
    assert found is not None
    assert found[0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(found[1], [[0, 1], [1, 0], [1, 1]])
    touching = np.r_[normals, [[0.0, -1.0]]]
    assert _from_corners(corners, meet, touching, np.r_[offsets, 0.0]) is None  # a second wall on the first side
    assert _from_corners(corners * [1, np.nan], meet, normals, offsets) is None
