"""Superposition [TMS]: many ``y = ReLU(W^T W x + b)`` of several sparsities and seeds trained side by side.

Axis glossary: ``model`` (seed, sparsity) pairs, ``sample`` inputs of a step, ``feature`` the n inputs, ``hidden`` the m
dimensions they share.

A feature is active with probability p = 1 - S and then uniform in [0, 1] [Elhage et al. 2022]. One uniform draw u gives
both: active where u < p, with value u/p. Models of one seed share the draws over sparsities, so that a curve over
sparsity is not blurred by sampling; seeds are independent. Gradients are analytic (five matrix products); the loss is
``mean over samples of sum_i importance_i (y_i - x_i)^2``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from toy.safeguards import check_count, check_finite, check_memory, check_not_negative, check_share, limited_threads

FINITE_CHECK_EVERY = 500


@dataclass(frozen=True, kw_only=True)
class SuperpositionSetting:
    """Sizes and training of a set of models that share them."""

    n_features: int = 120
    n_hidden: int = 12
    batch: int = 256
    steps: int = 3000
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    importance_decay: float = 1.0
    """Importance of feature i is ``importance_decay ** i``; 1 makes all features equal."""

    def check(self) -> None:
        """Raises `UserError` for a setting outside its range."""
        check_count(self.n_features, "n", 2)
        check_count(self.n_hidden, "m")
        check_count(self.batch, "batch")
        check_count(self.steps, "steps")
        check_not_negative(self.weight_decay, "weight decay")
        if not self.learning_rate > 0:
            raise UserError(f"expected a learning rate > 0; got {self.learning_rate:g}; try 1e-3")
        if not 0 < self.importance_decay <= 1:
            raise UserError(f"expected an importance decay in (0, 1]; got {self.importance_decay:g}; 1 is equal")

    @property
    def importance(self) -> Float[Tensor, " feature"]:
        return self.importance_decay ** torch.arange(self.n_features, dtype=torch.float32)


@dataclass(frozen=True)
class SuperpositionModels:
    """Trained models; ``weights[i]`` belongs to ``sparsities[i]`` and ``seeds[i]``."""

    setting: SuperpositionSetting
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...]
    weights: Float[Tensor, "model hidden feature"]
    bias: Float[Tensor, "model feature"]

    def hidden(self, inputs: Float[Tensor, "model sample feature"]) -> Float[Tensor, "model sample hidden"]:
        """The code: ``W x``."""
        return inputs @ self.weights.mT

    def output(self, inputs: Float[Tensor, "model sample feature"]) -> Float[Tensor, "model sample feature"]:
        """``ReLU(W^T W x + b)``."""
        return torch.relu(self.hidden(inputs) @ self.weights + self.bias[:, None])


def check_fits(setting: SuperpositionSetting, n_models: int) -> float:
    """Predicted peak memory in bytes of that many models; refuses, before anything starts, what does not fit."""
    what = f"{n_models} models of {setting.n_features} features, batch {setting.batch}"
    return check_memory(n_models * setting.n_features * 4 * (6 * setting.batch + 6 * setting.n_hidden), what)


def gradient(
    weights: Float[Tensor, "model hidden feature"],
    bias: Float[Tensor, "model 1 feature"],
    inputs: Float[Tensor, "model sample feature"],
    sample_weight: Float[Tensor, "model sample feature"] | float,
) -> tuple[Float[Tensor, "model hidden feature"], Float[Tensor, "model 1 feature"]]:
    """Gradient of ``sum sample_weight (ReLU(W^T W x + b) - x)^2`` with respect to W and b."""
    hidden = torch.bmm(inputs, weights.mT)
    before = torch.baddbmm(bias, hidden, weights)
    error = (before.relu() - inputs).mul_(before > 0).mul_(2 * sample_weight)
    through_encoder = torch.bmm(torch.bmm(error, weights.mT).mT, inputs)
    return torch.baddbmm(through_encoder, hidden.mT, error), error.sum(1, keepdim=True)


def initial_weights(n_features: int, n_hidden: int, seeds: Sequence[int]) -> Float[Tensor, "model hidden feature"]:
    """Xavier normal, **each model on its own**: a stacked call takes the model axis for a receptive field."""
    drawn = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        drawn.append(torch.nn.init.xavier_normal_(torch.empty(n_hidden, n_features), generator=generator))
    return torch.stack(drawn)


def descend(
    weights: Float[Tensor, "model hidden feature"],
    setting: SuperpositionSetting,
    seeds: Sequence[int],
    step_gradient: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> tuple[Float[Tensor, "model hidden feature"], Float[Tensor, "model feature"]]:
    """AdamW from the given weights along ``step_gradient(weights, bias)``; stops where weights are not finite."""
    parameter = torch.nn.Parameter(weights, requires_grad=False)
    bias = torch.nn.Parameter(torch.zeros(len(weights), 1, weights.shape[2]), requires_grad=False)
    optimiser = torch.optim.AdamW(
        [parameter, bias], lr=setting.learning_rate, weight_decay=setting.weight_decay, fused=True
    )
    with torch.no_grad(), limited_threads(1):
        for step in range(1, setting.steps + 1):
            parameter.grad, bias.grad = step_gradient(parameter.data, bias.data)
            optimiser.step()
            if step % FINITE_CHECK_EVERY == 0 or step == setting.steps:
                check_finite(parameter.data, seeds, step)
    return parameter.data, bias.data[:, 0]


def sparse_inputs(
    active: Float[Tensor, "sparsity 1 1"], size: tuple[int, int], generators: Sequence[torch.Generator]
) -> Float[Tensor, "model sample feature"]:
    """Inputs of every (seed, sparsity) model, seeds outermost."""
    drawn = []
    for generator in generators:
        inputs = torch.rand(size, generator=generator) / active
        drawn.append(inputs.mul_(inputs < 1))
    return torch.cat(drawn)


def train(setting: SuperpositionSetting, sparsities: Sequence[float], seeds: Sequence[int]) -> SuperpositionModels:
    """Train one model per (seed, sparsity), all at once, on one thread.

    Args:
        setting: sizes and training.
        sparsities: S, the probability that a feature is zero, each in [0, 1).
        seeds: each gives one model per sparsity.

    Raises:
        UserError: values outside their range; more memory than there is, before it starts; weights no longer finite.
    """
    setting.check()
    for sparsity in sparsities:
        check_share(sparsity, "S", open_top=True)
    check_fits(setting, len(sparsities) * len(seeds))
    owners = [(seed, sparsity) for seed in seeds for sparsity in sparsities]
    active = torch.tensor([1 - s for s in sparsities])[:, None, None]
    generators = [torch.Generator().manual_seed(seed + 104_729) for seed in seeds]
    scale = setting.importance / setting.batch

    def step_gradient(weights: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        inputs = sparse_inputs(active, (setting.batch, setting.n_features), generators)
        return gradient(weights, bias, inputs, scale)

    model_seeds = tuple(seed for seed, _ in owners)
    start = initial_weights(setting.n_features, setting.n_hidden, model_seeds)
    weights, bias = descend(start, setting, model_seeds, step_gradient)
    return SuperpositionModels(setting, tuple(s for _, s in owners), model_seeds, weights, bias)
