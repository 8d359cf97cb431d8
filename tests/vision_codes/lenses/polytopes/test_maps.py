"""Codes against local maps: NumPy's rank correlation; images on a wall between polytopes are left out and counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from eval.measures.geometry.tracing import trace
from vision_codes.lenses.polytopes.maps import maps_row


@pytest.fixture
def network() -> nn.Module:
    """Units of whole numbers, so that a point can lie exactly on a wall."""
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        net[0].weight.copy_(torch.randint(-3, 4, (6, 4), generator=generator).float())
        net[0].weight[0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
        net[0].bias.zero_()
    return net


def distances_of(network: nn.Module, points: torch.Tensor) -> np.ndarray:
    codes = (network[0](points) > 0).double()
    return torch.cdist(codes, codes, p=0).detach().numpy()


def test_images_on_a_wall_are_left_out_and_counted(network) -> None:
    points = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
    points[[3, 8], 0] = 0.0
    tail = trace(network, points[0])
    row, arrays = maps_row(tail, "conv", points, distances_of(network, points), probes=64, seed=0)
    assert (row.n_images, row.on_walls) == (22, 2) and row.rank_correlation.n == 22
    kept = np.delete(np.arange(24), [3, 8])
    upper = np.triu_indices(22, 1)
    np.testing.assert_array_equal(arrays["hamming"], distances_of(network, points)[np.ix_(kept, kept)][upper])
    wanted = spearmanr(arrays["hamming"], arrays["frobenius"]).statistic
    assert row.rank_correlation.value == pytest.approx(wanted) and wanted > 0.5


def test_where_every_image_is_on_a_wall_nothing_is_measured(network) -> None:
    points = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    tail = trace(network, points[0])
    points[:, 0] = 0.0
    row, arrays = maps_row(tail, "conv", points, distances_of(network, points), probes=8, seed=0)
    assert not row.rank_correlation.is_defined and arrays["frobenius"].size == 0
    assert row.rank_correlation.reason == "6 of 6 images lie on walls between polytopes, where no single map is"
