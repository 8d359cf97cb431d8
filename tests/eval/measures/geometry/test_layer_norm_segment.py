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


def gaussian_block(bias_scale, rows=1536, width=576):
    """The case of record: `default_rng(0)`, drawn in the order W, a, b, bias."""
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(rows, width))
    a, b = generator.normal(size=width), generator.normal(size=width)
    return a, b, weight, bias_scale * generator.normal(size=rows)


@pytest.mark.parametrize("bias_scale", [0.0, 1e-300, 1e-12, 1e-7, 1e-6])
@pytest.mark.parametrize("centre", [False, True])
def test_a_block_without_biases_switches_wherever_the_linear_map_does(bias_scale, centre):
    a, b, weight, bias = gaussian_block(bias_scale)
    found = layer_norm_crossings(a, b, weight, bias, centre=centre)
    if centre:
        a, b = a - a.mean(), b - b.mean()
    changes = ((weight @ a > 0) != (weight @ b > 0)).sum()
    assert found.count == changes
    if not centre:
        assert changes == 767  # the squared equation saw 566, 547, 612 and 717 of them
    linear = (weight @ a) / (weight @ a - weight @ b)
    seen = np.isfinite(found.roots[:, 0])
    np.testing.assert_allclose(found.roots[seen, 0], linear[seen], atol=1e-4)


@pytest.mark.parametrize("bias_scale", [0.0, 1e-12, 1e-6, 1e-2, 0.3, 1.0, 3.0, 1e6, 1e150])
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("epsilon", [0.0, 1e-5])
def test_every_count_is_that_of_two_hundred_thousand_signs(bias_scale, centre, epsilon):
    generator = np.random.default_rng(5)
    a, b = generator.normal(size=(2, 5))
    weight, bias = generator.normal(size=(60, 5)), bias_scale * generator.normal(size=60)
    found = layer_norm_crossings(a, b, weight, bias, centre=centre, epsilon=epsilon)
    one = np.ones(5)
    sampled = sampled_crossings(a, b, weight, bias, one, 0 * one, epsilon, centre, points=200_001)
    exact = np.isfinite(found.roots).sum(1)
    pair = found.roots[:, 1] - found.roots[:, 0] < 1e-5  # an excursion too short for the samples
    assert (exact == sampled)[~pair].all() and (exact >= sampled).all()
    assert exact.sum() > 0 or bias_scale >= 3


def test_a_neuron_that_only_touches_zero_does_not_switch():
    """f(t) = -1 + sigma(t) with sigma(1/2) = 1 the smallest: zero is touched, never crossed."""
    start, end = np.array([2.0, 0, 0, -1]), np.array([2.0, 0, 0, 1])
    found = layer_norm_crossings(start, end, np.array([[-0.5, 0, 0, 0]]), np.ones(1), epsilon=0.0, centre=False)
    assert found.count == 0 and found.starts_on.all()
    flat = layer_norm_crossings(start, end, np.zeros((1, 4)), np.zeros(1), centre=False)
    assert flat.count == 0 and not flat.starts_on.any()


def test_a_switch_at_an_end_is_not_counted_and_the_start_is_read_just_after_it():
    found = layer_norm_crossings(np.array([0.0, 1]), np.array([1.0, 1]), np.array([[1.0, 0], [-1.0, 0]]), np.zeros(2),
                                 centre=False)  # fmt: skip
    assert found.count == 0 and found.starts_on.tolist() == [True, False]


def test_negative_epsilon_and_infinite_biases_are_named():
    x, w = np.ones(4), np.ones((2, 4))
    with pytest.raises(UserError, match="expected an epsilon of at least 0; got -1"):
        layer_norm_crossings(x, 2 * x, w, np.zeros(2), epsilon=-1.0)
    with pytest.raises(UserError, match="expected finite vectors and weights"):
        layer_norm_crossings(x, 2 * x, w, np.array([0, np.inf]))


def test_points_that_differ_by_a_constant_are_one_point_after_centring():
    generator = np.random.default_rng(0)
    a, w = generator.standard_normal(8), generator.standard_normal((5, 8))
    assert layer_norm_crossings(a, a + 1.0, w, np.zeros(5)).count == 0
