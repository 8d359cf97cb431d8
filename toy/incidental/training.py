"""Incidental polysemanticity [IP]: many ``y = ReLU(W W^T x)`` trained side by side with analytic gradients.

Axis glossary: ``model`` one per seed, ``feature`` the n basis inputs (rows of W), ``hidden`` the m neurons (columns),
``snapshot`` recorded training steps.

Loss of one model on the identity, summed over the n basis inputs: ``||ReLU(W W^T) - I||^2 + lambda |W|_1`` [Lecomte et
al. 2023]. With ``G = W W^T`` and ``D = (ReLU(G) - I) * [G > 0]`` the gradient is ``4 D W + lambda sign(W)``: two matrix
products, no autograd. ``[G > 0]`` can be dropped, because ``G_ii = ||w_i||^2`` is zero only where ``w_i`` is.
With noise ``xi`` on the hidden layer, ``y_i = ReLU((w_i + xi_i) W^T)``, three products.

AdamW is `torch.optim.AdamW` on the stacked weights: it acts on every weight alone, so stacking models changes nothing.
Its weight decay is decoupled, ``w <- (1 - lr * decay) w``, and stated in every result (torch's default is .01).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError, known_name
from toy.incidental.noise import EXCESS_KURTOSIS, noise_steps
from toy.safeguards import check_count, check_finite, check_memory, check_not_negative, limited_threads, seed_range

OPTIMISERS = ("adamw", "sgd")
FINITE_CHECK_EVERY = 500
NO_PRESSURE = (
    "lambda = 0 and no noise: nothing presses for sparsity, so neurons stay mixed at random; "
    "set --l1 or --noise to see incidental polysemanticity"
)


@dataclass(frozen=True, kw_only=True)
class IncidentalSetting:
    """One setting of the model, shared by all seeds."""

    n_features: int = 16
    n_hidden: int = 64
    l1: float = 1e-3
    noise: str = "none"
    noise_scale: float = 0.15
    optimiser: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    steps: int = 7500
    dtype: str = "float32"

    def check(self) -> str | None:
        """Raises `UserError` for a setting outside its range; returns a warning where nothing presses for sparsity."""
        check_count(self.n_features, "n", 2)
        check_count(self.n_hidden, "m")
        check_count(self.steps, "steps")
        check_not_negative(self.l1, "lambda")
        check_not_negative(self.noise_scale, "noise scale")
        check_not_negative(self.weight_decay, "weight decay")
        if not self.learning_rate > 0:
            raise UserError(f"expected a learning rate > 0; got {self.learning_rate:g}; try 1e-3")
        known_name(self.optimiser, OPTIMISERS, "optimiser")
        known_name(self.noise, ["none", *EXCESS_KURTOSIS], "noise")
        quiet = self.noise == "none" or self.noise_scale == 0
        return NO_PRESSURE if self.l1 == 0 and quiet else None


@dataclass(frozen=True)
class IncidentalModels:
    """Trained models: weights before and after, and the recorded steps in between."""

    setting: IncidentalSetting
    seeds: tuple[int, ...]
    initial: Float[Tensor, "model feature hidden"]
    final: Float[Tensor, "model feature hidden"]
    snapshot_steps: tuple[int, ...] = ()
    snapshots: Float[Tensor, "snapshot model feature hidden"] = field(default_factory=lambda: torch.empty(0))


def check_fits(setting: IncidentalSetting, n_models: int, n_snapshots: int = 0) -> float:
    """Predicted peak memory in bytes of that many models; refuses, before anything starts, what does not fit."""
    n, m = setting.n_features, setting.n_hidden
    per_model = n * m * (8 + n_snapshots) + 2 * n**2
    what = f"{n_models} models of {n} features and {m} hidden units"
    return check_memory(per_model * n_models * (8 if setting.dtype == "float64" else 4), what)


def initial_weights(setting: IncidentalSetting, seeds: Sequence[int]) -> Float[Tensor, "model feature hidden"]:
    """``W ~ N(0, 1/m)``, one generator per seed."""
    shape = (setting.n_features, setting.n_hidden)
    dtype = getattr(torch, setting.dtype)
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in seeds]
    return (torch.stack(drawn) / setting.n_hidden**0.5).to(dtype)


def gradient(
    weights: Float[Tensor, "model feature hidden"],
    l1: float,
    noise: Float[Tensor, "model feature hidden"] | None = None,
) -> Float[Tensor, "model feature hidden"]:
    """``4 D W + lambda sign(W)``, or its noisy form; zero where autograd's is (ReLU'(0) = 0, sign(0) = 0)."""
    if noise is None:
        difference = torch.bmm(weights, weights.mT).relu_()
        difference.diagonal(dim1=1, dim2=2).sub_(1)
        return torch.baddbmm(torch.sign(weights), difference, weights, beta=l1, alpha=4)
    hidden = weights + noise
    gram = torch.bmm(hidden, weights.mT)  # y before the ReLU: [model input output]
    difference = gram.relu()
    difference.diagonal(dim1=1, dim2=2).sub_(1)
    difference *= gram > 0
    through_encoder = torch.baddbmm(torch.sign(weights), difference, weights, beta=l1, alpha=2)
    return torch.baddbmm(through_encoder, difference.mT, hidden, alpha=2)


def loss(
    weights: Float[Tensor, "model feature hidden"], l1: float, noise: Tensor | float = 0.0
) -> Float[Tensor, " model"]:
    """The loss itself, for autograd: the oracle of `gradient`."""
    output = torch.relu((weights + noise) @ weights.mT)
    identity = torch.eye(weights.shape[1], dtype=weights.dtype)
    return (output - identity).square().sum((1, 2)) + l1 * weights.abs().sum((1, 2))


def _stepper(setting: IncidentalSetting, parameter: torch.nn.Parameter) -> Callable[[Tensor], None]:
    """A function that takes one optimiser step along a given gradient."""
    if setting.optimiser == "sgd":
        shrink = 1 - setting.learning_rate * setting.weight_decay

        def sgd(slope: Tensor) -> None:
            parameter.data.mul_(shrink).sub_(slope, alpha=setting.learning_rate)

        return sgd
    optimiser = torch.optim.AdamW(
        [parameter], lr=setting.learning_rate, weight_decay=setting.weight_decay, fused=parameter.device.type == "cpu"
    )

    def adamw(slope: Tensor) -> None:
        parameter.grad = slope
        optimiser.step()

    return adamw


def train(
    setting: IncidentalSetting, seeds: Sequence[int] | int = 64, *, seed: int = 0, snapshot_steps: Sequence[int] = ()
) -> IncidentalModels:
    """Train one model per seed, all at once, on one thread.

    Args:
        setting: sizes, regulariser, noise, optimiser.
        seeds: the seeds, or how many from ``seed`` on.
        snapshot_steps: steps after which all weights are kept (0 is the initialisation).

    Raises:
        UserError: a setting outside its range; more memory than there is, before it starts; weights that are no longer
            finite, with the seed.
    """
    warning = setting.check()
    if warning:
        warnings.warn(warning, stacklevel=2)
    chosen = seed_range(seed, seeds) if isinstance(seeds, int) else tuple(seeds)
    check_fits(setting, len(chosen), len(snapshot_steps))
    start = initial_weights(setting, chosen)
    parameter = torch.nn.Parameter(start.clone(), requires_grad=False)
    wanted, kept = sorted(set(snapshot_steps)), {}
    with torch.no_grad(), limited_threads(1):
        _descend(setting, chosen, parameter, set(wanted), kept)
    stacked = torch.stack([kept[step] for step in wanted if step in kept]) if kept else torch.empty(0)
    return IncidentalModels(
        setting, chosen, start, parameter.data, tuple(step for step in wanted if step in kept), stacked
    )


def _descend(
    setting: IncidentalSetting,
    seeds: tuple[int, ...],
    parameter: torch.nn.Parameter,
    wanted: set[int],
    kept: dict[int, Tensor],
) -> None:
    """The training loop: noise, gradient, step; snapshots and finite checks on the way."""
    weights, step_along = parameter.data, _stepper(setting, parameter)
    noises = None
    if setting.noise != "none" and setting.noise_scale > 0:
        shape = (setting.n_features, setting.n_hidden)
        noises = noise_steps(setting.noise, setting.noise_scale, seeds, shape, setting.steps, weights.dtype)
    if 0 in wanted:
        kept[0] = weights.clone()
    for step in range(1, setting.steps + 1):
        step_along(gradient(weights, setting.l1, None if noises is None else next(noises)))
        if step in wanted:
            kept[step] = weights.clone()
        if step % FINITE_CHECK_EVERY == 0 or step == setting.steps:
            check_finite(weights, seeds, step)
