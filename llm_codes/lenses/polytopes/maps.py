"""The local affine map of one normalise-MLP block, by gates and by tangents.

f(x) = MLP(norm(x)), x the residual stream at one token. With the gates g = act(z) / z and 1 / sigma frozen at x,
f(y) ~ A y + b with A = W_out diag(g) W_in diag(gamma) C / sigma: the *gate* (secant) map, which reproduces f(x). The
*tangent* map has act'(z) for g: with 1 / sigma frozen it is the Jacobian up to the change of sigma. For ReLU the two
are one map; for GELU and SiLU they differ. The attention output of the block is held at its value (part of x).

A gated MLP is W_out (act(z) * v): gate map W_out diag(act(z)) W_v; its tangent map has both branches.

Axis glossary: ``unit`` hidden units, ``width`` of the residual stream, ``item`` tokens, ``pair`` of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.models import Model

_GELU = torch.nn.functional.gelu
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": _GELU,
    "gelu_new": lambda z: _GELU(z, approximate="tanh"),
    "gelu_fast": lambda z: _GELU(z, approximate="tanh"),
    "gelu_pytorch_tanh": lambda z: _GELU(z, approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "swish": torch.nn.functional.silu,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation function by name; any other is refused."""
    if name not in ACTIVATIONS:
        raise UserError(f"expected an activation of {', '.join(ACTIVATIONS)}; got {name!r}; its codes are not defined")
    return ACTIVATIONS[name]


def secant_gate(name: str, z: Float[Tensor, "*item"]) -> Float[Tensor, "*item"]:
    """act(z) / z: Phi(z) for GELU, sigmoid(z) for SiLU, the step for ReLU; its limit act'(0) at 0 (ReLU: 0)."""
    value = activation(name)(z)
    limit = 0.0 if name == "relu" else 0.5
    return torch.where(z == 0, torch.full_like(z, limit), value / torch.where(z == 0, torch.ones_like(z), z))


def derivative(name: str, z: Float[Tensor, "*item"]) -> Float[Tensor, "*item"]:
    """act'(z)."""
    with torch.enable_grad():
        at = z.detach().clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(activation(name)(at).sum(), at)
    return slope


@dataclass(frozen=True)
class Block:
    """One normalise-MLP block in float64.

    w_in `[unit, width]`; w_linear the ungated branch of a gated MLP, else `None`;
    w_out `[width, unit]`; scale, offset of the normalisation; centre: LayerNorm (`False`: RMSNorm).
    """

    w_in: Tensor
    b_in: Tensor
    w_linear: Tensor | None
    b_linear: Tensor | None
    w_out: Tensor
    b_out: Tensor
    scale: Tensor
    offset: Tensor
    epsilon: float
    centre: bool
    act: str

    @classmethod
    @torch.no_grad()
    def of(cls, model: Model, layer: int) -> Block:
        """Read the block's weights through its modules (works for Conv1D and Linear alike).

        Raises:
            UserError: a block that is not norm -> MLP with a known activation (checked on random vectors).
        """
        block = model.bridge.blocks[layer]
        mlp = block.mlp
        if not hasattr(mlp, "in") or not hasattr(mlp, "out"):
            raise UserError(f"expected an MLP with in and out projections in layer {layer}; got {type(mlp).__name__}")
        to = {"device": model.device, "dtype": model.dtype}
        gated = model.is_gated
        first = mlp.gate if gated else getattr(mlp, "in")
        w_in, b_in = _affine(first, model.d_model, to)
        w_linear, b_linear = _affine(getattr(mlp, "in"), model.d_model, to) if gated else (None, None)
        w_out, b_out = _affine(mlp.out, w_in.shape[0], to)
        norm = block.ln2.original_component
        scale = norm.weight.double().cpu()
        bias = getattr(norm, "bias", None)
        offset = torch.zeros_like(scale) if bias is None else bias.double().cpu()
        epsilon = float(getattr(norm, "eps", getattr(norm, "variance_epsilon", model.bridge.cfg.eps)))
        centre = "rms" not in type(norm).__name__.lower()
        act = model.activation
        activation(act)
        made = cls(w_in, b_in, w_linear, b_linear, w_out, b_out, scale, offset, epsilon, centre, act)
        x = torch.randn(1, 4, model.d_model, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        theirs = mlp(block.ln2(x.to(**to))).double().cpu()
        if not torch.allclose(made(x), theirs, rtol=1e-2, atol=1e-2 * float(theirs.abs().max())):
            raise UserError(f"layer {layer} of {model.name} is not normalise -> MLP; its local map is not implemented")
        return made

    def sigma(self, x: Float[Tensor, "*item width"]) -> Float[Tensor, "*item one"]:
        centred = x - x.mean(-1, keepdim=True) if self.centre else x
        return (centred.square().mean(-1, keepdim=True) + self.epsilon).sqrt()

    def normalise(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        centred = x - x.mean(-1, keepdim=True) if self.centre else x
        return centred / (self.sigma(x) if sigma is None else sigma) * self.scale + self.offset

    def preactivation(self, x: Float[Tensor, "*item width"]) -> Float[Tensor, "*item unit"]:
        return self.normalise(x) @ self.w_in.T + self.b_in

    def __call__(self, x: Float[Tensor, "*item width"]) -> Float[Tensor, "*item width"]:
        n = self.normalise(x)
        hidden = activation(self.act)(n @ self.w_in.T + self.b_in)
        if self.w_linear is not None and self.b_linear is not None:
            hidden = hidden * (n @ self.w_linear.T + self.b_linear)
        return hidden @ self.w_out.T + self.b_out

    def gates(self, z: Float[Tensor, "item unit"]) -> Float[Tensor, "item unit"]:
        """What stands on the diagonal of the gate map: act(z) / z, or act(z) for a gated MLP."""
        return activation(self.act)(z) if self.w_linear is not None else secant_gate(self.act, z)

    @property
    def linear(self) -> Tensor:
        """The projection that the gates multiply, `[unit, width]`."""
        return self.w_in if self.w_linear is None else self.w_linear


def _affine(module: Callable[[Tensor], Tensor], width: int, to: dict) -> tuple[Tensor, Tensor]:
    """Weight `[out, in]` and bias of an affine module, from its values, in float64 on the CPU."""
    zero = module(torch.zeros(1, 1, width, **to))[0, 0].double().cpu()
    columns = module(torch.eye(width, **to)[None])[0].double().cpu()
    return (columns - zero).T.contiguous(), zero


@dataclass(frozen=True)
class MapErrors:
    """Relative errors of the frozen maps at one token: |A x + b - f(x)| / |f(x)| of the gate map, and the Frobenius
    distance of gate map and of frozen tangent map to the true Jacobian, over its norm."""

    residual: float
    gate_to_jacobian: float
    tangent_to_jacobian: float


def map_errors(block: Block, x: Float[Tensor, " width"]) -> MapErrors:
    """How well do the frozen maps stand for the block at x?"""
    x = x.double()
    sigma, z = block.sigma(x), block.preactivation(x)
    eye = torch.eye(len(x), dtype=torch.float64)
    into = (block.scale[:, None] * (eye - 1 / len(x) if block.centre else eye)) / sigma  # d norm / dx, sigma frozen
    gate = block.gates(z)
    gate_map = block.w_out @ (gate[:, None] * block.linear) @ into
    b_linear = block.b_in if block.b_linear is None else block.b_linear
    constant = block.w_out @ (gate * (block.linear @ block.offset + b_linear)) + block.b_out
    slope = derivative(block.act, z)
    if block.w_linear is None or block.b_linear is None:
        inner = slope[:, None] * block.w_in
    else:
        v = block.normalise(x) @ block.w_linear.T + block.b_linear
        inner = activation(block.act)(z)[:, None] * block.w_linear + (slope * v)[:, None] * block.w_in
    tangent = block.w_out @ inner @ into
    jacobian = torch.func.jacrev(block)(x)
    value, norm = block(x), jacobian.norm()
    return MapErrors(
        float((gate_map @ x + constant - value).norm() / value.norm()),
        float((gate_map - jacobian).norm() / norm),
        float((tangent - jacobian).norm() / norm),
    )


def map_distances(
    block: Block, first: Float[Tensor, "pair unit"], second: Float[Tensor, "pair unit"]
) -> Float[Tensor, " pair"]:
    """Frobenius distance of the maps W_out diag(first) W and W_out diag(second) W (W as in `Block.linear`).

    || W_out diag(d) W ||_F^2 = d^T [(W_out^T W_out) * (W W^T)] d, so no map is ever formed.
    """
    gram = (block.w_out.T @ block.w_out) * (block.linear @ block.linear.T)
    difference = (first - second).double()
    return ((difference @ gram) * difference).sum(-1).clamp_min(0).sqrt()


def map_spectrum(block: Block, gates: Float[Tensor, "item unit"], count: int = 5) -> tuple[list[float], float]:
    """Largest singular values and participation ratio of the mean gate map of a set of tokens."""
    mean = gates.double().mean(0)
    values = torch.linalg.svdvals(block.w_out @ (mean[:, None] * block.linear))
    energy = values.square()
    ratio = float(energy.sum().square() / energy.square().sum()) if float(energy.sum()) > 0 else 0.0
    return values[:count].tolist(), ratio
