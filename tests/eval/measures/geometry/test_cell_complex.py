"""All cells of a box against exact slices, volumes that add up, nearest cells against all of them, and `relucent`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linprog

from eval.errors import UserError
from eval.measures.geometry.cell_complex import cells_in_box, nearest_cells
from eval.measures.geometry.cell_walls import cell_of
from eval.measures.geometry.cells import BOX
from eval.measures.geometry.piecewise_linear import code_of
from eval.measures.geometry.planes import plane_along
from eval.measures.geometry.slices import plane_slice
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import perceptron


@pytest.mark.parametrize("seed", range(2))
def test_cells_in_a_square_are_the_regions_of_the_slice(seed: int) -> None:
    program = trace(perceptron(2, 8, 6, 2, seed=seed), torch.zeros(2))
    found = cells_in_box(program, -2.0, 2.0)
    plane = plane_along(torch.zeros(2), torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), 2.0)
    regions = plane_slice(program, plane)
    assert found.complete and len(found.cells) == regions.n_regions > 10
    areas = np.sort([cell.volume.value for cell in found.cells])  # type: ignore[type-var]
    np.testing.assert_allclose(areas, np.sort(regions.area), atol=1e-8)
    codes = {row.tobytes() for row in regions.centroid_codes(program).numpy()}
    assert codes == {cell.key for cell in found.cells}


def test_volumes_of_a_cube_add_up_and_every_border_is_seen_from_both_sides() -> None:
    program = trace(perceptron(3, 7, 5, 2), torch.zeros(3))
    found = cells_in_box(program, -1.0, np.array([1.0, 1.0, 2.0]))
    assert found.complete and found.volume.value == pytest.approx(2 * 2 * 3)
    degree = np.bincount(found.edges.ravel(), minlength=len(found.cells))
    inner = [int((cell.site[cell.facets] != BOX).sum()) for cell in found.cells]
    assert degree.tolist() == inner  # each facet between two cells is a facet of both
    points = np.random.default_rng(0).uniform([-1, -1, -1], [1, 1, 2], size=(5000, 3))
    keys = {cell.key for cell in found.cells}
    assert {row.tobytes() for row in code_of(program.to(torch.float64), torch.tensor(points)).numpy()} <= keys


def test_quadrants_and_their_graph() -> None:
    found = cells_in_box(trace(F.relu, torch.zeros(2)), -1.0, 1.0)
    assert len(found.cells) == 4 and found.edges.tolist() in ([[0, 1], [0, 2], [1, 3], [2, 3]],)
    assert found.volume.value == pytest.approx(4)


def test_the_nearest_cells_are_the_nearest_of_all() -> None:
    program = trace(perceptron(2, 8, 6, 2), torch.zeros(2))
    x = torch.tensor([0.31, -0.22])
    whole = cells_in_box(program, -2.0, 2.0)
    found, distance = nearest_cells(program, x, 9, (-2.0, 2.0))
    expected = np.sort([cell.distance(x.double().numpy()) for cell in whole.cells])[:9]
    np.testing.assert_allclose(distance, expected, atol=1e-8)
    assert distance[0] == 0 and (np.diff(distance) >= -1e-9).all() and not found.complete


def test_nearest_cells_in_many_dimensions() -> None:
    program = trace(perceptron(20, 30, 10, 3), torch.zeros(20))
    found, distance = nearest_cells(program, torch.randn(20, generator=torch.Generator().manual_seed(0)), 6)
    assert len(found.cells) == 6 and len({cell.key for cell in found.cells}) == 6
    assert distance[0] == 0 and (np.diff(distance) >= -1e-9).all() and distance[1] > 0


def test_a_limit_gives_a_part_that_says_so() -> None:
    program = trace(perceptron(2, 8, 6, 2), torch.zeros(2))
    part = cells_in_box(program, -2.0, 2.0, max_cells=5)
    assert len(part.cells) == 5 and not part.complete
    with pytest.raises(UserError, match="expected low < high and at least 1 cell"):
        cells_in_box(program, 2.0, -2.0)
    with pytest.raises(UserError, match="expected at least 1 cell; got k=0"):
        nearest_cells(program, torch.ones(2), 0)


@pytest.mark.filterwarnings("ignore")
def test_cells_and_facets_are_those_of_relucent() -> None:
    """The same cells and inradii; where it lists more facets than we do, a linear programme finds them redundant."""
    relucent = pytest.importorskip("relucent", reason="the oracle needs relucent (AGPL, with the Gurobi solver)")
    net = perceptron(2, 10, 8, 1, seed=1)
    peer = relucent.Complex(net)
    peer.bfs()
    program = trace(net, torch.zeros(2)).to(torch.float64)
    found = cells_in_box(program, -1e6, 1e6)
    ours = {cell.key: cell for cell in found.cells}
    assert found.complete and len(ours) == len(peer)
    for theirs in peer:
        inside = torch.tensor(np.asarray(theirs.interior_point).ravel())
        own = cell_of(program, inside)
        assert own.key in ours
        if np.isfinite(own.inradius):
            assert own.inradius == pytest.approx(float(theirs.inradius), rel=1e-6)
        walls = np.asarray(theirs.halfspaces)[theirs.shis]
        size = np.linalg.norm(walls[:, :-1], axis=1, keepdims=True)
        kept = [any(np.allclose(row, np.r_[n, -o], rtol=1e-6, atol=1e-6) for n, o in zip(own.normals[own.facets],
                own.offsets[own.facets], strict=True)) for row in walls / size]  # fmt: skip
        assert sum(kept) == len(own.facets)
        for row in np.flatnonzero(~np.array(kept)):
            others = np.delete(walls / size, row, axis=0)
            best = linprog(-(walls / size)[row, :2], A_ub=others[:, :2], b_ub=-others[:, 2], bounds=[(None, None)] * 2)
            assert -best.fun <= -(walls / size)[row, 2] + 1e-9, "a facet that we leave out"


def test_a_cell_thinner_than_the_longest_step_is_not_jumped_over() -> None:
    """Kinks at 0 and 2e-4: the first step of 5e-4 lands beyond the cell between them, an eighth of it inside."""
    program = trace(lambda x: F.relu(x) + F.relu(x - 2e-4), torch.zeros(1))
    found = cells_in_box(program, -1.0, 1.0)
    assert len(found.cells) == 3 and found.complete and found.volume.value == pytest.approx(2)
    assert sorted(np.bincount(found.edges.ravel()).tolist()) == [1, 1, 2]
