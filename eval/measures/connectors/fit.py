"""Fitting a connector: gradient steps with an L1 penalty, a hard number of edges, a refit of the kept ones.

[FC] trains by gradient on mean squared error plus L1. We do the same, then keep a hard number of edges per output
feature and refit the kept ones without the penalty, so that the weights one reads are not shrunk by it.

Nothing here makes a token x feature matrix of the whole data: features come as rows of (index, value), and one batch at
a time is made dense in float32. Memory while fitting: 16 bytes per input x output pair (weight, two moments, gradient)
and a quarter of a byte or two of masks, updates being made in blocks and in place; 4 bytes more from a dense start.
Axes: see `connector`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.measures.connectors.connector import Connector
from eval.measures.connectors.fit_options import ConnectorFit
from eval.measures.dictionaries.dictionary_kernels import accumulate_active, decode_active
from eval.measures.dictionaries.feature_rows import FeatureRows

BLOCK = 2**18  # weights updated at a time


@dataclass
class _State:
    """Weights in normalised units (features divided by their rms) and the step counter."""

    weight: Tensor
    bias: Tensor
    step: int = 0


def fit_connector(
    inputs: FeatureRows,
    outputs: FeatureRows,
    options: ConnectorFit | None = None,
    *,
    initial: tuple[Tensor, Tensor] | None = None,
    support: Tensor | None = None,
    metric: Float[Tensor, "output width"] | None = None,
    seed: int = 0,
    every_step: Callable[[int, float, Tensor], None] | None = None,
) -> Connector:
    """Which few input features predict each output feature?

    Minimises ``mean ||(act(W f + b) - F) / rms(F)||^2 + l1 |W|`` over tokens, keeps the ``edges_per_output`` edges of
    largest attribution ``|w| rms(f)``, and refits those without the penalty.

    Args:
        inputs, outputs: the same tokens, row by row.
        options: see ``ConnectorFit``.
        initial: dense ``(weight [input output], bias)`` to start from (the analytic connector); random small if absent.
        support: boolean [input output], the only edges allowed (a refit on chosen or random edges).
        metric: the output dictionary's vectors. If given, errors are measured after decoding,
            ``||(act(W f + b) - F) D||^2``, which is what a substituted network feels; [FC] measures them feature by
            feature.
        seed: of the random start and of the order of tokens.
        every_step: called with (step, loss, weights in units of the features' rms [input output]) after each step.

    Returns:
        The connector; output features that never fire in ``outputs`` get no edges.

    Raises:
        UserError: different numbers of tokens, no live inputs, no live outputs, non-finite values.
    """
    options = options or ConnectorFit()
    _check(inputs, outputs, options)
    scale_in, scale_out = inputs.root_mean_square(), outputs.root_mean_square()
    live_in, live_out = scale_in > 0, scale_out > 0
    scale_in, scale_out = scale_in.clamp_min(1e-12), scale_out.clamp_min(1e-12)
    allowed = live_in[:, None] & live_out[None]
    if support is not None:
        allowed &= support
    generator = torch.Generator().manual_seed(seed)
    state = _initial_state(initial, scale_in, scale_out, generator)
    state.weight.masked_fill_(~allowed, 0)
    state.bias *= live_out  # a silent output has no scale: it gets no edges, no bias, and no part in the loss
    problem = _Problem(inputs, outputs, scale_in, scale_out, metric, options.activation)
    fixed = None if support is None else allowed
    _descend(state, problem, options, options.steps, options.l1, fixed, generator, every_step)
    kept = _choose_edges(state.weight, options, allowed)
    if options.refit_steps:
        state.weight.masked_fill_(~kept, 0)
        state.step = 0
        _descend(state, problem, options, options.refit_steps, 0.0, kept, generator, every_step)
        kept &= state.weight.abs() >= options.minimum_share
    weight = state.weight.masked_fill_(~kept, 0).mul_(scale_out / scale_in[:, None])
    bias = torch.where(live_out, state.bias * scale_out, 0.0)
    return Connector.from_dense(weight, bias, options.activation)


def _check(inputs: FeatureRows, outputs: FeatureRows, options: ConnectorFit) -> None:
    if len(inputs) != len(outputs):
        raise UserError(
            f"expected the same tokens on both sides; got {len(inputs)} and {len(outputs)}; harvest both in one pass"
        )
    for side, rows in (("input", inputs), ("output", outputs)):
        if not bool(torch.isfinite(rows.values).all()):
            raise UserError(f"expected finite {side} features; got NaN or infinity; check the dictionary's weights")
        if not bool((rows.values != 0).any()):
            raise UserError(
                f"expected at least one live {side} feature; got none active on {len(rows)} tokens; "
                "train the dictionary longer or check that it belongs to this model"
            )


def _initial_state(initial: Any, scale_in: Tensor, scale_out: Tensor, generator: torch.Generator) -> _State:
    if initial is None:
        weight = torch.randn(len(scale_in), len(scale_out), generator=generator).mul_(0.01)
        bias = torch.zeros(len(scale_out))
    else:
        weight = (initial[0] * scale_in[:, None]).float().div_(scale_out).contiguous()  # a transpose has no flat view
        bias = initial[1].float() / scale_out
    return _State(weight, bias)


@dataclass
class _Problem:
    """The regression in normalised units: loss and gradient on a batch of tokens."""

    inputs: FeatureRows
    outputs: FeatureRows
    scale_in: Tensor
    scale_out: Tensor
    metric: Tensor | None
    activation: str

    def gradient(self, state: _State, which: Tensor) -> tuple[float, Tensor, Tensor]:
        """Loss per output feature, gradient of weight and bias on the tokens ``which``."""
        source, target = self.inputs.rows(which), self.outputs.rows(which)
        values = source.values / self.scale_in[source.indices]
        predicted = decode_active(source.indices, values, state.weight) + state.bias
        on = predicted > 0 if self.activation == "relu" else None
        if on is not None:
            predicted = predicted.relu_()
        wanted = FeatureRows(target.indices, target.values / self.scale_out[target.indices], target.width)
        error = predicted.scatter_add_(1, wanted.indices, -wanted.values)
        if self.metric is None:
            loss = float(error.square().sum()) / len(which)
        else:
            decoded = (error * self.scale_out) @ self.metric
            loss = float(decoded.square().sum()) / len(which)
            error = (decoded @ self.metric.T) * self.scale_out
        if on is not None:
            error *= on
        error *= 2 / len(which)
        return loss, accumulate_active(source.indices, values, error, len(state.weight)), error.sum(0)


def _descend(
    state: _State,
    problem: _Problem,
    options: ConnectorFit,
    steps: int,
    l1: float,
    kept: Tensor | None,
    generator: torch.Generator,
    every_step: Callable[[int, float, Tensor], None] | None,
) -> None:
    """Adam with a cosine schedule and a proximal L1 step; only ``kept`` edges move where given (and only they are
    computed: the others are zero and stay so)."""
    n_tokens = len(problem.inputs)
    size = min(options.fit_batch_size, n_tokens)
    edges = None if kept is None else kept.flatten().nonzero()[:, 0]
    moving = state.weight if edges is None else state.weight.flatten()[edges]
    moments = [torch.zeros_like(x) for x in (moving, moving, state.bias, state.bias)]
    for i in range(steps):
        which = torch.randint(0, n_tokens, (size,), generator=generator)
        loss, of_weight, of_bias = problem.gradient(state, which)
        if not math.isfinite(loss):
            raise UserError(f"the connector's loss became {loss} at step {i}; lower --learning-rate")
        if edges is not None:
            of_weight = of_weight.flatten()[edges]
        rate = options.learning_rate * 0.5 * (1 + math.cos(math.pi * i / steps))
        state.step += 1
        _adam(moving, of_weight, moments[0], moments[1], rate, i + 1, rate * l1 / options.learning_rate)
        _adam(state.bias, of_bias, moments[2], moments[3], rate, i + 1)
        del of_weight  # before the next one is made: it is as large as the weights
        if edges is not None:
            state.weight.view(-1)[edges] = moving
        if every_step is not None:
            every_step(state.step, loss, state.weight)


def _adam(
    value: Tensor, gradient: Tensor, first: Tensor, second: Tensor, rate: float, step: int, shrink: float = 0.0
) -> None:
    """One step of Adam, then the soft threshold, block by block: no temporary is as large as the weights."""
    rows = max(1, BLOCK // max(1, value[0].numel())) if len(value) else 1
    for v, g, m, s in zip(*(tensor.split(rows) for tensor in (value, gradient, first, second)), strict=True):
        m.lerp_(g, 0.1)
        s.mul_(0.99).addcmul_(g, g, value=0.01)
        denominator = (s / (1 - 0.99**step)).sqrt_().add_(1e-8)
        v.addcdiv_(m, denominator, value=-rate / (1 - 0.9**step))
        if shrink:
            v.sub_(v.clamp(-shrink, shrink))


def _choose_edges(weight: Tensor, options: ConnectorFit, allowed: Tensor) -> Tensor:
    """The edges of largest attribution per output, in normalised units ``|w|``; never one that is exactly zero."""
    size = weight.abs()
    kept = (size > 0) & (size >= options.minimum_share) & allowed
    count = options.edges_per_output
    if count is not None and count < len(weight):
        smallest = size.topk(count, dim=0).values[-1]
        kept &= size >= smallest
    return kept
