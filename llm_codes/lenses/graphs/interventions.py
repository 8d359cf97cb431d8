"""Changes made in the real model: a feature's activation at one position is moved, and everything above is watched.

Direct effect: what every MLP writes is held at the prompt's values, so that the change arrives along the residual
stream and through attention only. Attention patterns and norm denominators respond, or are held as well: held together
they are the frozen model of the graph, and the difference of the four says how far each explains a gap between
prediction and measurement. Total effect: nothing is held.

Axes: change (one intervention), position, width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.lenses.graphs.frozen import FrozenModel
from llm_codes.lenses.graphs.nodes import ActiveFeatures, encoder_readings
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model
from llm_codes.sites import resolve_site

BATCH = 32


@dataclass(frozen=True)
class Held:
    """What keeps the prompt's values while the rest of the real model responds."""

    mlps: bool = False
    patterns: bool = False
    norms: bool = False


@dataclass(frozen=True)
class Response:
    """Differences to the unchanged prompt: of every MLP's input, and of the last position's logits."""

    mlp_in: Float[Tensor, "layer change position width"]
    logits: Float[Tensor, "change vocabulary"]


@dataclass(frozen=True)
class Change:
    """One feature at one position, moved by `size` times its activation: -1 takes it out, 1 doubles it."""

    layer: int
    position: int
    feature: int
    activation: float
    size: float


def writes(
    changes: Sequence[Change], transcoders: Sequence[LayerTranscoder], n_positions: int
) -> Float[Tensor, "layer change position width"]:
    """What the changes add to the output of every MLP."""
    out = transcoders[0].decoder.new_zeros(len(transcoders), len(changes), n_positions, transcoders[0].decoder.shape[1])
    for number, change in enumerate(changes):
        vector = transcoders[change.layer].decoder[change.feature]
        out[change.layer, number, change.position] = change.size * change.activation * vector
    return out


@torch.no_grad()
def respond(model: Model, frozen: FrozenModel, added: Tensor, held: Held, batch_size: int = BATCH) -> Response:
    """The real model's response to what is added to the outputs of its MLPs; `batch_size` changes a forward pass."""
    parts = [_respond(model, frozen, some, held) for some in added.split(batch_size, dim=1)]
    return Response(torch.cat([part.mlp_in for part in parts], 1), torch.cat([part.logits for part in parts]))


def _respond(model: Model, frozen: FrozenModel, added: Tensor, held: Held) -> Response:
    seen: dict[int, Tensor] = {}
    hooks: list[Any] = []
    for number, layer in enumerate(frozen.layers):
        into, out = (resolve_site(model, kind, number).hook for kind in ("mlp_in", "mlp_out"))
        hooks.append((into, lambda value, hook, number=number: seen.__setitem__(number, value.detach())))
        hooks.append((out, _writer(added[number], layer.mlp_out if held.mlps else None)))
        if held.patterns:
            hooks.append((f"blocks.{number}.attn.hook_pattern", _constant(layer.pattern)))
        if held.norms:
            hooks.append((f"blocks.{number}.ln1.hook_scale", _constant(layer.norm1.scale[:, None])))
            hooks.append((f"blocks.{number}.ln2.hook_scale", _constant(layer.norm2.scale[:, None])))
    if held.norms:
        hooks.append(("ln_final.hook_scale", _constant(frozen.final.scale[:, None])))
    logits = model.logits(frozen.tokens.expand(added.shape[1], -1), hooks)[:, -1]
    moved = [seen[number] - layer.mlp_in for number, layer in enumerate(frozen.layers)]
    return Response(torch.stack(moved), logits - frozen.logits)


def _constant(value: Tensor) -> Any:
    return lambda activation, hook: value.expand_as(activation).to(activation)


def _writer(added: Tensor, instead: Tensor | None) -> Any:
    return lambda value, hook: (value if instead is None else instead) + added.to(value)


@torch.no_grad()
def linear_response(
    frozen: FrozenModel, transcoders: Sequence[LayerTranscoder], active: ActiveFeatures, added: Tensor
) -> Response:
    """The graph's prediction of the total effect: active features respond linearly, the others stay off.

    The sum over all paths of the graph, `(I - A)^-1`, computed layer by layer.
    """
    stream = torch.zeros_like(added[0])
    moved = []
    for number, (layer, transcoder) in enumerate(zip(frozen.layers, transcoders, strict=True)):
        stream = stream + torch.stack([layer.attend(one) - layer.attention_bias for one in stream])
        own = active.of_layer(number)
        position, feature = active.places[own, 1], active.places[own, 2]
        read = encoder_readings(layer, transcoder, position, feature)
        response = torch.einsum("cfd,fd->cf", stream[:, position], read)
        into = layer.norm2.linear(stream)
        moved.append(into)
        written = added[number].index_add(1, position, response[:, :, None] * transcoder.decoder[feature])
        stream = stream + written + (0 if transcoder.skip is None else into @ transcoder.skip)
    return Response(torch.stack(moved), frozen.final.linear(stream)[:, -1] @ frozen.unembedding)
