"""Sparse maps from one dictionary's features to the next one's: fit, prune, predict.

The question: which few features of the layer before decide each feature of the layer after? A connector is

    F_out ~ act(W F_in + b),    W sparse, act linear or ReLU,

after the feature-connector post [FC]. [FC] trains by gradient on mean squared error plus L1. We do the same, then keep
a hard number of edges per output feature and refit the kept ones without the penalty, so that the weights one reads
are not shrunk by it.

Axis glossary: ``token`` rows (tokens or images), ``active`` the features kept in a row, ``input`` / ``output``
features, ``edge`` non-zero weights.

Nothing here makes a token x feature matrix of the whole data: features come as rows of (index, value), and one batch at
a time is made dense in float32. Memory while fitting: 16 bytes per input x output pair (weight, two moments, gradient)
and a quarter of a byte or two of masks, updates being made in blocks and in place; 4 bytes more from a dense start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError, known_name
from eval.measures.dictionaries.dictionary_kernels import accumulate_active, decode_active
from eval.measures.dictionaries.feature_rows import FeatureRows

ACTIVATIONS = ("linear", "relu")
BLOCK = 2**18  # weights updated at a time


@dataclass(frozen=True)
class Connector:
    """A sparse map ``act(W f + b)`` in compressed rows: the edges of output ``i`` are ``starts[i]:starts[i + 1]``.

    starts: [output + 1]; inputs: [edge] input feature of each edge; weights: [edge]; bias: [output].
    n_inputs: input features; activation: ``"linear"`` or ``"relu"``; description: provenance, plain JSON.
    """

    starts: Int[Tensor, " outputs_and_one"]
    inputs: Int[Tensor, " edge"]
    weights: Float[Tensor, " edge"]
    bias: Float[Tensor, " output"]
    n_inputs: int
    activation: str = "relu"
    description: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dense(
        cls, weight: Float[Tensor, "input output"], bias: Tensor, activation: str, **description: Any
    ) -> Connector:
        """Keep the non-zero weights of a dense matrix."""
        known_name(activation, ACTIVATIONS, "connector activation")
        by_output = weight.T
        rows, inputs = by_output.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(by_output))
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        values = by_output[rows, inputs].clone()
        return cls(starts, inputs, values, bias.clone(), weight.shape[0], activation, description)

    @property
    def n_outputs(self) -> int:
        return len(self.bias)

    @property
    def n_edges(self) -> int:
        return len(self.weights)

    @property
    def edges_per_output(self) -> float:
        """Mean number of edges per output feature, silent output features included."""
        return self.n_edges / max(1, self.n_outputs)

    @property
    def outputs(self) -> Int[Tensor, " edge"]:
        """The output feature of each edge."""
        return torch.repeat_interleave(torch.arange(self.n_outputs), self.starts.diff())

    def edges(self, output: int) -> list[tuple[int, float]]:
        """``(input feature, weight)`` of one output feature, largest magnitude first.

        Raises:
            UserError: no such output feature.
        """
        if not 0 <= output < self.n_outputs:
            raise UserError(f"expected an output feature in 0..{self.n_outputs - 1}; got {output}; choose one of those")
        span = slice(int(self.starts[output]), int(self.starts[output + 1]))
        pairs = zip(self.inputs[span].tolist(), self.weights[span].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: -abs(pair[1]))

    def dense(self) -> Float[Tensor, "input output"]:
        """The weights as a matrix [input output] in float32."""
        out = torch.zeros(self.n_inputs, self.n_outputs)
        out[self.inputs, self.outputs] = self.weights.float()
        return out

    def with_weights(self, weights: Tensor, **description: Any) -> Connector:
        """The same edges with other weights; edges whose weight is 0 are dropped."""
        kept = weights != 0
        counts = torch.bincount(self.outputs[kept], minlength=self.n_outputs)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        words = {**self.description, **description}
        return Connector(starts, self.inputs[kept], weights[kept], self.bias, self.n_inputs, self.activation, words)

    def predictor(self) -> Callable[[FeatureRows], Float[Tensor, "token output"]]:
        """A function from feature rows to predicted output features; makes the matrix dense once, use it per batch."""
        weight, bias = self.dense(), self.bias.float()
        relu = self.activation == "relu"

        def predict(features: FeatureRows) -> Tensor:
            if features.width != self.n_inputs:
                raise UserError(
                    f"expected {self.n_inputs} input features; got {features.width}; "
                    "use the dictionary this connector was trained on"
                )
            out = decode_active(features.indices, features.values.float(), weight) + bias
            return out.relu_() if relu else out

        return predict


@dataclass(frozen=True)
class ConnectorFit:
    """How to fit. Weight updates are Adam; the penalty is applied as a soft threshold, so that zeros are exact.

    activation: ``"relu"`` or ``"linear"``.
    l1: penalty on ``|w| * rms(input)``, in units of the output's rms (dimensionless).
    edges_per_output: at most so many edges per output feature (``None``: whatever the penalty leaves).
    minimum_share: an edge is dropped when ``|w| rms(input) < minimum_share * rms(output)``.
    steps: gradient steps before the edges are chosen; refit_steps: after.
    """

    activation: str = "relu"
    l1: float = 0.002
    edges_per_output: int | None = 32
    minimum_share: float = 0.0
    steps: int = 600
    refit_steps: int = 300
    batch_size: int = 1024
    learning_rate: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes and rates that mean nothing.

        Raises:
            UserError: one of them.
        """
        edges = 1 if self.edges_per_output is None else self.edges_per_output
        least = {"edges per output feature (--edges)": (edges, 1), "tokens per batch": (self.batch_size, 1)}
        least |= {"steps (--steps)": (self.steps, 0), "steps after (--refit-steps)": (self.refit_steps, 0)}
        least |= {"l1 (--l1)": (self.l1, 0), "minimum_share": (self.minimum_share, 0)}
        for name, (value, smallest) in least.items():
            if not value >= smallest:
                raise UserError(f"expected {name} of at least {smallest}; got {value}; raise it")
        if not self.learning_rate > 0:
            raise UserError(f"expected a learning rate above 0; got {self.learning_rate}; set --learning-rate to .02")


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
    generator = torch.Generator().manual_seed(options.seed)
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
    known_name(options.activation, ACTIVATIONS, "connector activation")
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
        weight = (initial[0] * scale_in[:, None]).float().div_(scale_out)
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
    size = min(options.batch_size, n_tokens)
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
