"""Lengths of walls in grid cells: by hand, as a whole, and against crossings counted along lines."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.geometry.boundary_length import boundary_length
from eval.measures.geometry.planes import plane_along
from eval.measures.geometry.segments import crossings_of_segments
from eval.measures.geometry.slices import plane_slice
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import perceptron

EDGES = np.linspace(0, 2, 3)


def test_a_diagonal_and_an_upright_wall() -> None:
    walls = np.array([[[0.0, 0.0], [2.0, 2.0]], [[1.5, -1.0], [1.5, 1.0]]])
    np.testing.assert_allclose(boundary_length(walls, EDGES, EDGES), [[2**0.5, 1.0], [0.0, 2**0.5]], atol=1e-12)


def test_the_cells_hold_the_whole_length() -> None:
    walls = np.random.default_rng(0).uniform(0, 2, size=(5000, 2, 2))
    found = boundary_length(walls, np.linspace(0, 2, 14), np.linspace(0, 2, 8))
    assert found.shape == (7, 13)
    assert found.sum() == pytest.approx(np.linalg.norm(walls[:, 1] - walls[:, 0], axis=1).sum())


def test_no_wall_and_one_outside() -> None:
    assert boundary_length(np.empty((0, 2, 2)), EDGES, EDGES).tolist() == [[0, 0], [0, 0]]
    assert boundary_length(np.array([[[5.0, 5.0], [6.0, 5.0]]]), EDGES, EDGES).sum() == 0


def test_length_per_area_is_what_lines_of_all_directions_meet() -> None:
    """Cauchy-Crofton on the walls of a network: 2 L / (pi A) crossings per length of a random line."""
    program = trace(perceptron(2, 12, 8, 2), torch.zeros(2))
    plane = plane_along(torch.zeros(2), torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), 2.0)
    found = plane_slice(program, plane)
    walls = np.concatenate([cuts.reshape(-1, 2, 2) for cuts in found.boundaries.values()])
    total = boundary_length(walls, np.array([-2.0, 2.0]), np.array([-2.0, 2.0]))[0, 0]
    generator = np.random.default_rng(0)
    angle, offset = generator.uniform(0, np.pi, 250), generator.uniform(-(2**1.5), 2**1.5, 250)
    normal, along = (np.stack(pair, 1) for pair in ((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))))
    ends = np.sort((np.array([-2.0, 2.0])[:, None, None] - offset[:, None] * normal) / along, axis=0)
    low, high = ends[0].max(1), ends[1].min(1)
    met = high > low
    starts, stops = (torch.tensor((offset[:, None] * normal + t[:, None] * along)[met]) for t in (low, high))
    crossed = sum(one.count for one in crossings_of_segments(program, starts, stops))
    length = float((high - low)[met].sum())
    assert crossed / length == pytest.approx(2 * total / (np.pi * 16), rel=0.1)


def test_edges_that_do_not_rise_are_refused() -> None:
    with pytest.raises(UserError, match="expected rising edges of at least one cell for rows; got 2 edges"):
        boundary_length(np.empty((0, 2, 2)), EDGES, np.array([1.0, 1.0]))
