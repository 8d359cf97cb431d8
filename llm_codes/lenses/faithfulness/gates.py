"""The real model with gates on its nodes: a node at gate 0 has its reference activation, at 1 its own.

    what an MLP writes = what the model computes there + sum over nodes of (gate - 1)(activation - reference) write

Nodes are transcoder features (write: decoder row) or neurons (write: output row), one at each layer and position. What
the transcoder misses stays (`errors=True`) or is set to 0. Everything else is live: activations are read from the
gated stream, attention and norms respond. Gates between 0 and 1 give integrated gradients.

Axes: batch (settings of the gates), layer, position, node; place: position, or one for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model
from llm_codes.sites import resolve_site

FEATURES, NEURONS, SHUFFLED = "features", "neurons", "shuffled features"
Hooks = list[tuple[str, Any]]


@dataclass(frozen=True)
class Nodes:
    """The nodes of one kind. transcoders: of the features, none for neurons. errors: whether errors stay.

    Shuffled features read what the features read and write what another feature of the layer writes: the control of a
    dictionary, made from itself.
    """

    kind: str
    transcoders: tuple[LayerTranscoder, ...] = ()
    errors: bool = True


def shuffled(transcoders: Sequence[LayerTranscoder], seed: int = 0) -> tuple[LayerTranscoder, ...]:
    """The transcoders with the rows of each decoder in random order."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(item.n_features, generator=generator) for item in transcoders]
    return tuple(replace(item, decoder=item.decoder[order]) for item, order in zip(transcoders, orders, strict=True))


def activations(model: Model, nodes: Nodes, tokens: Tensor) -> Float[Tensor, "layer batch position node"]:
    """Every node's activation in the model as it is."""
    seen: dict[int, Tensor] = {}
    hooks = [
        (hook, lambda value, hook, layer=layer: seen.__setitem__(layer, _read(nodes, layer, value)))
        for layer, hook in enumerate(_hooks(model, nodes))
    ]
    with torch.no_grad():
        model.logits(tokens, hooks)
    return torch.stack([seen[layer] for layer in range(model.n_layers)])


def gated_logits(
    model: Model,
    nodes: Nodes,
    tokens: Tensor,
    gates: Float[Tensor, "batch layer position node"],
    reference: Float[Tensor, "layer place node"],
) -> Float[Tensor, "batch vocabulary"]:
    """Logits at the last position, one prompt under every setting of the gates."""
    if nodes.kind == NEURONS:
        hooks: Hooks = [
            (hook, lambda value, hook, layer=layer: _mixed(value, gates[:, layer], reference[layer]))
            for layer, hook in enumerate(_hooks(model, nodes))
        ]
    else:
        hooks = _feature_hooks(model, nodes, gates, reference)
    return model.logits(tokens.expand(len(gates), -1), hooks)[:, -1]


def _feature_hooks(model: Model, nodes: Nodes, gates: Tensor, reference: Tensor) -> Hooks:
    kept: dict[int, Tensor] = {}
    hooks: Hooks = []
    for layer, transcoder in enumerate(nodes.transcoders):
        into, out = (resolve_site(model, kind, layer).hook for kind in ("mlp_in", "mlp_out"))

        def write(value: Tensor, hook: Any, layer: int = layer, transcoder: LayerTranscoder = transcoder) -> Tensor:
            own = _read(nodes, layer, kept[layer])
            mixed = _mixed(own, gates[:, layer], reference[layer])
            if nodes.errors:
                return value + (mixed - own) @ transcoder.decoder
            written = mixed @ transcoder.decoder + transcoder.decoder_bias
            if transcoder.skip is not None:
                written = written + kept[layer] @ transcoder.skip
            return torch.cat([value[:, :1], written[:, 1:]], 1)  # dictionaries are trained without position 0

        hooks.append((into, lambda value, hook, layer=layer: kept.__setitem__(layer, value)))
        hooks.append((out, write))
    return hooks


def _mixed(own: Tensor, gates: Tensor, reference: Tensor) -> Tensor:
    """Between reference and own; the first position stays as it is."""
    mixed = reference + gates * (own - reference)
    return torch.cat([own[:, :1], mixed[:, 1:]], 1)


def _read(nodes: Nodes, layer: int, value: Tensor) -> Tensor:
    if nodes.kind == NEURONS:
        return value
    transcoder = nodes.transcoders[layer]
    linear = value @ transcoder.encoder + transcoder.encoder_bias
    with torch.no_grad():
        on = transcoder.folder.encode(value.detach().to(transcoder.folder.sae.W_enc.dtype)) != 0
    return linear * on


def _hooks(model: Model, nodes: Nodes) -> Sequence[str]:
    kind = "mlp_post" if nodes.kind == NEURONS else "mlp_in"
    return [resolve_site(model, kind, layer).hook for layer in range(model.n_layers)]
