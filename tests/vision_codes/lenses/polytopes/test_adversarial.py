"""Steps out of a class: switches counted as codes differ, steps of one length, ridges that are planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from eval.measures.geometry.piecewise_linear import code_of
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import perceptron
from vision_codes.lenses.polytopes.adversarial import _other_steps, changed_switches, way_out_row


def test_changed_switches_are_the_differing_symbols() -> None:
    program = trace(perceptron(6, 20, 15, 3), torch.zeros(6))
    x, y = torch.randn(2, 11, 6)
    expected = (code_of(program, x) != code_of(program, y)).sum(1).numpy()
    np.testing.assert_array_equal(changed_switches(program, x, y, batch_size=4), expected)


def test_all_steps_are_of_one_length_and_one_leads_to_an_image() -> None:
    x = torch.randn(5, 3, 4, 4)
    y = x + 0.01 * torch.randn(5, 3, 4, 4)
    random, image = _other_steps(x, y, 0)
    length = (y - x).flatten(1).norm(dim=1)
    for way in (random, image):
        torch.testing.assert_close(way.flatten(1).norm(dim=1), length)
    towards = x.roll(1, 0) - x
    assert float(torch.cosine_similarity(image.flatten(1), towards.flatten(1)).min()) > 0.999


class _Ridge(nn.Module):
    """Two classes parted at x0 = 0, with sixty walls across x0 near it and few elsewhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        walls = torch.cat([torch.linspace(-0.02, 0.02, 60), torch.linspace(-3, 3, 6)])
        bend = (x[:, :1] + walls).relu().sum(1) * 1e-4
        return torch.stack([x[:, 0] + bend * 0, -x[:, 0] + bend * 1e-6], 1)


def test_a_planted_ridge_is_crossed_on_the_way_out_only() -> None:
    program = trace(_Ridge(), torch.zeros(30))
    x = 0.3 * torch.randn(12, 30, generator=torch.Generator().manual_seed(0))
    x[:, 0] = torch.linspace(0.4, 1.2, 12)
    row = way_out_row(program, x, samples=401)
    assert row.n_found == row.n_images == 12
    assert row.log2_changes.low is not None and row.log2_changes.low > 1
    assert row.ridge.low is not None and row.ridge.low > 2
    assert (row.ridge_random.value or 0) < row.ridge.low


def test_without_a_way_out_or_a_path_there_is_a_reason() -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :2].relu() * 0 + torch.tensor([1.0, 0.0])

    row = way_out_row(trace(Constant(), torch.zeros(4)), torch.randn(9, 4))
    assert row.n_found == 0 and row.ridge.reason == "no step that changes a class was found"
    program = trace(perceptron(6, 20, 15, 3), torch.zeros(6))
    row = way_out_row(program, torch.randn(9, 6))
    assert row.n_found > 0 and row.ridge.reason == "no path was followed"
    assert 0 < (row.relative_length.value or 0) < 1 and row.relative_length.n == row.n_found


@pytest.mark.parametrize("seed", range(2))
def test_a_random_network_has_no_ridge_to_speak_of(seed: int) -> None:
    program = trace(perceptron(30, 80, 80, 4, seed=seed), torch.zeros(30))
    row = way_out_row(program, torch.randn(24, 30, generator=torch.Generator().manual_seed(seed)), samples=201)
    assert abs(row.ridge.value or 0) < 1.5
