"""Closed-form crossings against dense sampling and PyTorch's own LayerNorm."""

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.measures.geometry.layer_norm_segment import layer_norm_crossings


def sampled_crossings(a, b, weight, bias, scale, offset, epsilon, centre, points=20001):
    t = torch.linspace(0, 1, points, dtype=torch.float64)[:, None]
    x = (1 - t) * torch.from_numpy(a) + t * torch.from_numpy(b)
    if centre:
        n = torch.nn.functional.layer_norm(x, x.shape[1:], torch.from_numpy(scale), torch.from_numpy(offset), epsilon)
    else:
        n = x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt() * torch.from_numpy(scale) + torch.from_numpy(
            offset
        )
    on = (n @ torch.from_numpy(weight).T + torch.from_numpy(bias)).numpy() > 0
    return (on[1:] != on[:-1]).sum(0)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_crossings_are_those_of_dense_sampling(centre, seed):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(2, 12)) * [[3.0], [1.0]] - 0.5
    weight, bias = generator.normal(size=(200, 12)), generator.normal(size=200) * 2
    scale, offset = generator.uniform(0.5, 2, 12), generator.normal(size=12) * 0.3
    options = {"scale": scale, "offset": offset, "epsilon": 1e-3, "centre": centre}
    found = layer_norm_crossings(a, b, weight, bias, **options)
    exact = np.isfinite(found.roots).sum(1)
    sampled = sampled_crossings(a, b, weight, bias, scale, offset, 1e-3, centre)
    assert (exact >= sampled).all() and (exact == sampled).mean() > 0.99
    assert found.count == exact.sum() > 50
    assert found.density == pytest.approx(found.count / np.linalg.norm(a - b))


def test_a_neuron_that_switches_on_and_off_again_counts_twice():
    """z = -1 / rms + .5 is positive only where the vector is long: at both ends. The Hamming distance would be 0."""
    start, end = np.array([1.0, -4]), np.array([1.0, 4])
    found = layer_norm_crossings(start, end, np.array([[-1.0, 0]]), np.array([0.5]), epsilon=0.0, centre=False)
    ends = (1 + np.array([-1, 1]) * np.sqrt(7) / 4) / 2  # rms = 2 where y^2 = 7
    assert found.count == 2 and found.roots[0] == pytest.approx(ends)


def test_a_ray_without_bias_never_crosses():
    x = np.random.default_rng(0).normal(size=8)
    found = layer_norm_crossings(x, 3 * x, np.random.default_rng(1).normal(size=(50, 8)), np.zeros(50))
    assert found.count == 0


def test_bad_segments_are_named():
    x, w = np.ones(4), np.ones((2, 4))
    with pytest.raises(UserError, match="got a segment of length zero"):
        layer_norm_crossings(x, x, w, np.zeros(2))
    with pytest.raises(UserError, match="expected finite vectors and weights; got NaN or infinity"):
        layer_norm_crossings(x, np.array([1, 2, np.nan, 3]), w, np.zeros(2))
