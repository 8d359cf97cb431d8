"""A model made linear at one prompt: attention patterns and norm denominators held at the prompt's values.

Then every reading of the residual stream is linear in what was written to it below: with pattern A, scale s, gain g,

    attention of layer l:   sum_h A_h (x / s_1) C diag(g_1) W_V W_O + constant          C: centring, RMS norm has none
    input of the MLP:       (x / s_2) C diag(g_2) + constant
    what the MLP writes:    transcoder features, an error, a constant (and a skip map, where the transcoder has one)

[Ameisen et al. 2025, "Local replacement model"]. `gradients` walks this downwards for many readings at once, so that
direct effects are matrix products. Axes: position (query, key), width, head.

Blocks that add attention and MLP one after the other behind one norm each are handled: GPT-2 and Llama type (rotary or
learned positions, grouped heads, gated MLPs). Anything else is refused by name, or because its numbers do not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError
from llm_codes.models import Model
from llm_codes.sites import resolve_site

AGREEMENT = 2e-3  # relative error of the frozen model against the model, in the norm of each activation


@dataclass(frozen=True)
class FrozenNorm:
    """A normalisation with its denominators held: `x -> (C x) gain / scale + bias`."""

    scale: Float[Tensor, " position"]
    gain: Float[Tensor, " width"]
    bias: Float[Tensor, " width"]
    centred: bool

    def read(self, vectors: Float[Tensor, "width ..."]) -> Float[Tensor, "width ..."]:
        """Vectors that read after the norm, as vectors that read before it (less the scale)."""
        out = self.gain.view(-1, *[1] * (vectors.ndim - 1)) * vectors
        return out - out.mean(0, keepdim=True) if self.centred else out

    def linear(self, x: Float[Tensor, "*batch position width"]) -> Float[Tensor, "*batch position width"]:
        """What is read of a change of the stream: the norm less its bias."""
        centred = x - x.mean(-1, keepdim=True) if self.centred else x
        return centred / self.scale[:, None] * self.gain

    def __call__(self, x: Float[Tensor, "position width"]) -> Float[Tensor, "position width"]:
        return self.linear(x) + self.bias


@dataclass(frozen=True)
class FrozenLayer:
    """One block at a prompt.

    pattern: attention, [head, query, key]. value: from before the norm to the heads, [head, width, d_head] (less the
    scale); output: [head, d_head, width]. attention_bias: what attention writes whatever it reads.
    mlp_in, mlp_out: what the MLP reads and writes, by position.
    """

    pattern: Float[Tensor, "head query key"]
    value: Float[Tensor, "head width d_head"]
    output: Float[Tensor, "head d_head width"]
    attention_bias: Float[Tensor, " width"]
    norm1: FrozenNorm
    norm2: FrozenNorm
    mlp_in: Float[Tensor, "position width"]
    mlp_out: Float[Tensor, "position width"]

    def attend(self, x: Float[Tensor, "position width"]) -> Float[Tensor, "position width"]:
        """What attention writes for a residual stream."""
        read = torch.einsum("kd,hde->hke", x / self.norm1.scale[:, None], self.value)
        mixed = self.pattern @ read
        return torch.einsum("hqe,hed->qd", mixed, self.output) + self.attention_bias

    def attend_backwards(self, gradient: Float[Tensor, "query reading width"]) -> Float[Tensor, "key reading width"]:
        """The gradient of readings with respect to what enters the layer, through attention and past it.

        Queries and keys are the first ones of the prompt: later ones have no gradient.
        """
        n, readings, width = gradient.shape
        heads, _, d_head = self.value.shape
        pulled = torch.matmul(gradient.reshape(1, n * readings, width), self.output.mT)
        pattern = self.pattern[:, :n, :n].mT
        mixed = torch.bmm(pattern, pulled.view(heads, n, readings * d_head)).view(heads, n, readings, d_head)
        mixed /= self.norm1.scale[:n, None, None]
        flat = mixed.permute(1, 2, 0, 3).reshape(n * readings, heads * d_head)
        values = self.value.permute(0, 2, 1).reshape(heads * d_head, width)
        return torch.addmm(gradient.reshape(n * readings, width), flat, values).view(n, readings, width)


@dataclass(frozen=True)
class FrozenModel:
    """The whole model at a prompt.

    embeddings, positions: what the token and its place write, by position. final: the last norm.
    unembedding: [width, vocabulary]. logits: of the model itself, at the last position.
    """

    tokens: Int[Tensor, " position"]
    layers: tuple[FrozenLayer, ...]
    embeddings: Float[Tensor, "position width"]
    positions: Float[Tensor, "position width"]
    final: FrozenNorm
    unembedding: Float[Tensor, "width vocabulary"]
    unembedding_bias: Float[Tensor, " vocabulary"]
    logits: Float[Tensor, " vocabulary"]

    @property
    def n_positions(self) -> int:
        return len(self.tokens)


def freeze(model: Model, tokens: Int[Tensor, " position"]) -> FrozenModel:
    """The model made linear at a prompt, checked by value against the model.

    Raises:
        UserError: a kind of block or attention that cannot be frozen (named); numbers that do not agree; a prompt of
            one token, or longer than the context.
    """
    _refuse_by_name(model)
    if len(tokens) < 2:
        raise UserError(f"expected a prompt of at least 2 tokens, BOS included; got {len(tokens)}; write a longer one")
    seen, logits = _forward(model, tokens)
    layers = tuple(_layer(model, layer, seen) for layer in range(model.n_layers))
    embeddings = seen["embed.hook_out"]
    positions = seen[resolve_site(model, "resid_pre", 0).hook] - embeddings
    final = _norm(model.bridge.ln_final, seen["ln_final.hook_scale"], model)
    bias = getattr(model.bridge, "b_U", None)
    unembedding = model.bridge.W_U.detach().to(model.dtype)
    bias = torch.zeros_like(logits) if bias is None else bias.detach().to(logits)
    frozen = FrozenModel(tokens, layers, embeddings, positions, final, unembedding, bias, logits)
    _check(frozen, seen, model)
    return frozen


def _forward(model: Model, tokens: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Every activation that is needed, by hook name, and the last position's logits, in one pass."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor, Any], None]:
        def note(activation: Tensor, hook: Any) -> None:
            seen[name] = activation.detach()[0]

        return note

    names = ["embed.hook_out", "ln_final.hook_scale"]
    for layer in range(model.n_layers):
        names += [f"blocks.{layer}.{part}" for part in ("attn.hook_pattern", "ln1.hook_scale", "ln2.hook_scale")]
        names += [resolve_site(model, kind, layer).hook for kind in ("resid_pre", "attn_out", "mlp_in", "mlp_out")]
    _need_hooks(model, names)
    with torch.no_grad():
        logits = model.logits(tokens[None], [(name, keep(name)) for name in dict.fromkeys(names)])[0, -1]
    missing = [name for name in names if name not in seen]
    if missing:
        raise UserError(f"expected {model.name} to compute {missing[0]}; it does not; its attention cannot be frozen")
    for name, value in seen.items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"expected finite activations; got NaN or infinity at {name}; check the model")
    return seen, logits


def _need_hooks(model: Model, names: list[str]) -> None:
    for name in names:
        if name not in model.hook_names:
            part = "an attention pattern" if "pattern" in name else "the place"
            raise UserError(
                f"expected {part} to freeze at {name}; {model.name} ({_architecture(model)}) has none; graphs need "
                "softmax attention behind one norm, as in GPT-2 and Llama"
            )


def _architecture(model: Model) -> str:
    return str(getattr(model.bridge.cfg, "architecture", None) or type(model.bridge).__name__)


def _refuse_by_name(model: Model) -> None:
    """What the configuration says, so that the line can name it."""
    config = model.bridge.cfg
    reasons = {
        "attention and MLP in parallel": bool(getattr(config, "parallel_attn_mlp", False)),
        "attention scores with a soft cap": float(getattr(config, "attn_scores_soft_cap", None) or -1) > 0,
        "logits with a soft cap": float(getattr(config, "output_logits_soft_cap", None) or -1) > 0,
        "norms after attention and MLP": bool(getattr(config, "use_normalization_before_and_after", False)),
        "a mixture of experts": bool(getattr(config, "num_experts", None)),
        "no MLPs": bool(getattr(config, "attn_only", False)),
    }
    for reason, found in reasons.items():
        if found:
            raise UserError(
                f"expected blocks as in GPT-2 or Llama; {model.name} ({_architecture(model)}) has {reason}, which "
                "cannot be frozen here; choose another model"
            )


def _norm(component: Any, scale: Tensor, model: Model) -> FrozenNorm:
    own = getattr(component, "_original_component", component)
    gain = getattr(own, "weight", None)
    gain = own.w if gain is None else gain
    bias = getattr(own, "bias", getattr(own, "b", None))
    gain = gain.detach().to(model.dtype)
    bias = torch.zeros_like(gain) if bias is None else bias.detach().to(model.dtype)
    centred = not bool(getattr(model.bridge.cfg, "uses_rms_norm", False))
    return FrozenNorm(scale.flatten().to(model.dtype), gain, bias, centred)


def _layer(model: Model, layer: int, seen: dict[str, Tensor]) -> FrozenLayer:
    block, name = model.bridge.blocks[layer], f"blocks.{layer}"
    norm1 = _norm(block.ln1, seen[f"{name}.ln1.hook_scale"], model)
    norm2 = _norm(block.ln2, seen[f"{name}.ln2.hook_scale"], model)
    pattern = seen[f"{name}.attn.hook_pattern"]
    value, value_bias, output, output_bias = _attention_weights(block.attn, len(pattern), model)
    constant = torch.einsum("hde,d->he", value, norm1.bias) + value_bias
    constant = torch.einsum("he,hed->d", constant, output) + output_bias
    read = norm1.read(value.permute(1, 0, 2)).permute(1, 0, 2).contiguous()
    mlp = [seen[resolve_site(model, kind, layer).hook] for kind in ("mlp_in", "mlp_out")]
    return FrozenLayer(pattern, read, output.contiguous(), constant, norm1, norm2, *mlp)


def _attention_weights(attention: Any, n_heads: int, model: Model) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Value [head, width, d_head] and its bias, output [head, d_head, width] and its bias; grouped heads repeated."""
    value, output = (getattr(attention, name).detach().to(model.dtype) for name in ("W_V", "W_O"))
    biases = [getattr(attention, name, None) for name in ("b_V", "b_O")]
    value_bias = value.new_zeros(len(value), value.shape[-1]) if biases[0] is None else biases[0].detach().to(value)
    output_bias = value.new_zeros(model.d_model) if biases[1] is None else biases[1].detach().to(value)
    value_bias = value_bias.view(len(value), -1)
    groups = n_heads // len(value)
    return value.repeat_interleave(groups, 0), value_bias.repeat_interleave(groups, 0), output, output_bias


def _check(frozen: FrozenModel, seen: dict[str, Tensor], model: Model) -> None:
    """Frozen layer by frozen layer against what the model computed."""
    for number, layer in enumerate(frozen.layers):
        stream = seen[resolve_site(model, "resid_pre", number).hook]
        attended = layer.attend(stream)
        _agrees(attended, seen[resolve_site(model, "attn_out", number).hook], f"attention of layer {number}", model)
        _agrees(layer.norm2(stream + attended), layer.mlp_in, f"the MLP's input of layer {number}", model)
    last = frozen.layers[-1]
    stream = seen[resolve_site(model, "resid_pre", model.n_layers - 1).hook]
    stream = stream + last.attend(stream) + last.mlp_out
    logits = frozen.final(stream)[-1] @ frozen.unembedding + frozen.unembedding_bias
    _agrees(logits, frozen.logits, "the logits", model)


def _agrees(mine: Tensor, theirs: Tensor, what: str, model: Model) -> None:
    error = float((mine - theirs).norm() / theirs.norm().clamp(min=1e-30))
    if not error <= AGREEMENT:
        raise UserError(
            f"expected {what} of {model.name} ({_architecture(model)}) to be linear once patterns and norms are held; "
            f"it differs by {error:.2g}; graphs need softmax attention behind one norm, as in GPT-2 and Llama"
        )
