"""Gradients against autograd, dimensionality on known polygons, quadrature against Monte Carlo."""

import math

import pytest
import torch

from eval.errors import UserError
from toy.superposition.measures import dimensions_per_feature, feature_dimensionality, plateau_slope
from toy.superposition.phase import PHASES, phase_diagram, quadrature
from toy.superposition.training import SuperpositionSetting, gradient, initial_weights, sparse_inputs, train


def test_analytic_gradient_equals_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 2, 5, generator=generator, dtype=torch.float64).requires_grad_()
    bias = torch.randn(3, 1, 5, generator=generator, dtype=torch.float64).requires_grad_()
    inputs = torch.rand(3, 7, 5, generator=generator, dtype=torch.float64)
    importance = torch.rand(5, generator=generator, dtype=torch.float64)
    output = torch.relu(inputs @ weights.mT @ weights + bias)
    (importance * (output - inputs).square()).sum().backward()
    for_weights, for_bias = gradient(weights.detach(), bias.detach(), inputs, importance)
    assert weights.grad is not None and bias.grad is not None
    assert (for_weights - weights.grad).abs().max() < 1e-12
    assert (for_bias - bias.grad).abs().max() < 1e-12


def polygon(corners: int) -> torch.Tensor:
    angle = torch.arange(corners) * 2 * math.pi / corners
    return torch.stack([angle.cos(), angle.sin()])[None]


@pytest.mark.parametrize(("corners", "share"), [(3, 2 / 3), (5, 2 / 5), (8, 1 / 4)])
def test_feature_dimensionality_of_polygons(corners: int, share: float) -> None:
    weights = polygon(corners)
    assert feature_dimensionality(weights) == pytest.approx(torch.full((1, corners), share).numpy(), abs=1e-5)
    assert float(dimensions_per_feature(weights)) == pytest.approx(2 / corners)


def test_feature_dimensionality_of_pairs_singles_and_absent_features() -> None:
    weights = torch.tensor([[[1.0, -0.9, 0, 0], [0, 0, 2.0, 0]]])
    shares = feature_dimensionality(weights)[0]
    assert shares[2] == pytest.approx(1)
    assert shares[3] == 0
    assert shares[0] + shares[1] == pytest.approx(1)


def test_initial_weights_have_the_scale_of_one_model() -> None:
    deviation = float(initial_weights(200, 20, [0, 1, 2]).std())
    assert deviation == pytest.approx(math.sqrt(2 / 220), rel=0.03)


def test_inputs_have_the_sparsity_and_are_uniform_where_active() -> None:
    active = torch.tensor([1.0, 0.25])[:, None, None]
    inputs = sparse_inputs(active, (4000, 5), [torch.Generator().manual_seed(0)])
    assert float((inputs[0] > 0).float().mean()) > 0.999
    assert float((inputs[1] > 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert float(inputs[1][inputs[1] > 0].mean()) == pytest.approx(0.5, abs=0.02)


def test_dense_models_keep_one_dimension_per_feature_and_sparse_ones_share() -> None:
    setting = SuperpositionSetting(n_features=20, n_hidden=4, batch=128, steps=1500, learning_rate=1e-2)
    models = train(setting, [0.0, 0.95], [0])
    dense, sparse = dimensions_per_feature(models.weights).tolist()
    assert dense == pytest.approx(1, abs=0.05)
    assert sparse < 0.6
    again = train(setting, [0.0, 0.95], [0])
    assert torch.equal(models.weights, again.weights)


def test_plateau_slope_on_planted_curves() -> None:
    straight = [2.0 ** (-k / 4) for k in range(12)]
    sticky = [1, 0.9, 0.7, 0.51, 0.5, 0.49, 0.35, 0.25]
    assert plateau_slope(straight, 0.5, 0.2) == pytest.approx(1)
    slope = plateau_slope(sticky, 0.5)
    assert slope is not None and slope < 0.15
    assert plateau_slope([1.0, 0.8, 0.3, 0.1], 0.5) is None


def test_quadrature_integrates_polynomials_exactly() -> None:
    inputs, samples = quadrature()
    both = samples[:, 1] == 2
    value = (samples[both, 0] * inputs[both, 0] ** 3 * inputs[both, 1] ** 2).sum()
    assert float(value) == pytest.approx(1 / 12, abs=1e-6)
    assert float(samples[both, 0].sum()) == pytest.approx(1, abs=1e-6)


def test_phase_diagram_corners() -> None:
    phases = phase_diagram(torch.tensor([0.1, 0.9, 10.0]), torch.tensor([1.0, 0.01]), restarts=4, steps=1500)
    names = [[PHASES[index] for index in row] for row in phases.tolist()]
    assert names[0][0] == "first alone"
    assert names[2][0] == "second alone"
    assert names[1][1] == "both, in superposition"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: train(SuperpositionSetting(steps=1), [1.0], [0]), r"expected S in \[0, 1\); got 1"),
        (lambda: train(SuperpositionSetting(n_features=0), [0.5], [0]), "expected n a whole number >= 2; got 0"),
        (lambda: train(SuperpositionSetting(n_hidden=0), [0.5], [0]), "expected m a whole number >= 1; got 0"),
        (lambda: train(SuperpositionSetting(n_features=10**9), [0.5], [0]), "1 models of 1000000000 features"),
        (
            lambda: train(SuperpositionSetting(n_features=4, n_hidden=2, learning_rate=1e30), [0.5], [7]),
            "with seed 7",
        ),
    ],
)
def test_bad_input_is_one_line(call, words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()
