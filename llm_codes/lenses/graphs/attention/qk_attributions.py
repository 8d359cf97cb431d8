"""Why does a head look where it looks? Its score at a query and a key, as a sum over pairs of what both streams hold.

    score(p, k) = scale * sum_a sum_b  q_a . k_b,     q_a = R_p W_Q^T diag(g_1) C x_a / s_1(p),   k_b likewise at k

over the parts a of the residual stream at p and b of that at k: token and place, every feature below, errors, what
attention of each layer below wrote, constants (biases, those of queries and keys included). R is the rotation of rotary
positions, where a model has them [Kamath et al. 2025, QK attributions]. Softmax sees differences between keys only:
`above_other_keys` is a pair's part less what the same query part finds on average over all keys that it sees.

The sum is checked against the model's own pattern; attention whose scores are not such a product is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.lenses.graphs.nodes import FrozenPrompt
from llm_codes.lenses.graphs.rows import QKAttribution, QKPair
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model

AGREEMENT = 2e-3  # largest gap between the softmax of the summed scores and the model's pattern
SHOWN = 6  # pairs of an attribution


@dataclass(frozen=True)
class Parts:
    """What the residual stream at one position holds where a layer reads it; the vectors add up to it."""

    names: tuple[str, ...]
    vectors: Float[Tensor, "part width"]


@torch.no_grad()
def qk_attribution(
    model: Model,
    prompt: FrozenPrompt,
    transcoders: Sequence[LayerTranscoder],
    layer: int,
    head: int,
    query: int,
    key: int,
) -> QKAttribution:
    """The pairs that make a head of a layer look from a query position at a key position, strongest first.

    Raises:
        UserError: no such layer, head or position; a key after its query; scores that are no product of queries and
            keys (normed queries, position biases), so that they do not give the model's pattern.
    """
    _refuse(prompt, layer, head, query, key)
    maps = _Maps.of(model, prompt, layer, head)
    at_query, at_key = (stream_parts(model, prompt, transcoders, layer, place) for place in (query, key))
    queries = maps.queries(at_query.vectors, query)
    keys = maps.keys(at_key.vectors, key)
    stream = prompt_stream(prompt, layer)
    everywhere = torch.stack([maps.keys(stream[place][None], place).sum(0) for place in range(query + 1)])
    scores = maps.scale * queries.sum(0) @ everywhere.T
    pattern = prompt.frozen.layers[layer].pattern[head, query]
    gap = float((scores.softmax(0) - pattern[: query + 1]).abs().max())
    if not gap <= AGREEMENT:
        raise UserError(
            f"expected the scores of head {layer}.{head} of {model.name} to be products of queries and keys; their "
            f"softmax differs from its pattern by {gap:.2g}; queries that are normed or biased by place have no pairs"
        )
    pairs = maps.scale * queries @ keys.T
    usual = maps.scale * queries @ everywhere.mean(0)
    above = pairs - usual[:, None] / len(keys)
    names = ((*at_query.names, "bias of queries"), (*at_key.names, "bias of keys"))
    order = above.abs().flatten().argsort(descending=True)[:SHOWN].tolist()
    strongest = tuple(
        QKPair(names[0][n // len(keys)], names[1][n % len(keys)], float(pairs.flatten()[n]), float(above.flatten()[n]))
        for n in order
    )
    return QKAttribution(
        layer, head, query, key, float(pattern[key]), float(scores[key]), float(above.sum()), strongest
    )


@torch.no_grad()
def stream_parts(
    model: Model, prompt: FrozenPrompt, transcoders: Sequence[LayerTranscoder], layer: int, position: int
) -> Parts:
    """The residual stream before a layer at a position, taken apart."""
    frozen, active = prompt.frozen, prompt.active
    word = model.token_strings([int(frozen.tokens[position])])[0]
    names = [f"token {word!r}", f"position {position}"]
    vectors = [frozen.embeddings[position], frozen.positions[position]]
    constant = torch.zeros_like(vectors[0])
    stream = frozen.embeddings + frozen.positions
    for below in range(layer):
        own, block, transcoder = active.of_layer(below), frozen.layers[below], transcoders[below]
        here = active.places[own, 1] == position
        for feature, value in zip(active.places[own][here, 2].tolist(), active.values[own][here], strict=True):
            names.append(f"feature {feature} of layer {below}")
            vectors.append(value * transcoder.decoder[feature])
        attended = block.attend(stream)
        names += [f"attention of layer {below}", f"error of layer {below}"]
        vectors += [attended[position] - block.attention_bias, active.errors[below, position]]
        constant = constant + block.attention_bias + transcoder.decoder_bias
        if transcoder.skip is not None:
            constant = constant + block.mlp_in[position] @ transcoder.skip
        stream = stream + attended + block.mlp_out
    return Parts((*names, "constants"), torch.stack([*vectors, constant]))


def prompt_stream(prompt: FrozenPrompt, layer: int) -> Float[Tensor, "position width"]:
    """The residual stream before a layer, at every position."""
    stream = prompt.frozen.embeddings + prompt.frozen.positions
    for block in prompt.frozen.layers[:layer]:
        stream = stream + block.attend(stream)
        stream = stream + block.mlp_out
    return stream


@dataclass(frozen=True)
class _Maps:
    """From vectors of the stream to queries and keys of one head; cos, sin: rotation of each position, or none."""

    prompt: FrozenPrompt
    layer: int
    weights: tuple[Tensor, Tensor]
    biases: tuple[Tensor, Tensor]
    rotation: tuple[Tensor, Tensor] | None
    scale: float

    @classmethod
    def of(cls, model: Model, prompt: FrozenPrompt, layer: int, head: int) -> _Maps:
        attention = model.bridge.blocks[layer].attn
        n_heads = len(prompt.frozen.layers[layer].pattern)
        weights, biases = [], []
        for name in ("Q", "K"):
            all_heads = getattr(attention, f"W_{name}").detach().to(model.dtype)
            own = head // (n_heads // len(all_heads))
            bias = getattr(attention, f"b_{name}", None)
            weights.append(all_heads[own])
            zero = all_heads.new_zeros(all_heads.shape[-1])
            biases.append(zero if bias is None else bias.detach().to(zero).view(len(all_heads), -1)[own])
        rotation = _rotation(model, prompt.frozen.embeddings)
        width = weights[0].shape[-1]
        return cls(prompt, layer, (weights[0], weights[1]), (biases[0], biases[1]), rotation, width**-0.5)

    def queries(self, vectors: Tensor, position: int) -> Float[Tensor, "part d_head"]:
        """Of each part of the stream, and of the bias, which comes last."""
        return self._read(vectors, position, 0)

    def keys(self, vectors: Tensor, position: int) -> Float[Tensor, "part d_head"]:
        """The same for keys."""
        return self._read(vectors, position, 1)

    def _read(self, vectors: Tensor, position: int, side: int) -> Tensor:
        norm = self.prompt.frozen.layers[self.layer].norm1
        centred = vectors - vectors.mean(-1, keepdim=True) if norm.centred else vectors
        read = (centred / norm.scale[position] * norm.gain) @ self.weights[side]
        bias = norm.bias @ self.weights[side] + self.biases[side]
        out = torch.cat([read, bias[None]])
        if self.rotation is None:
            return out
        cos, sin = (one[position] for one in self.rotation)
        turned, rest = out[:, : len(cos)], out[:, len(cos) :]
        first, second = turned.chunk(2, dim=-1)
        return torch.cat([turned * cos + torch.cat([-second, first], -1) * sin, rest], -1)


def _rotation(model: Model, like: Float[Tensor, "position width"]) -> tuple[Tensor, Tensor] | None:
    """Cosines and sines by position, from the model's own module of rotary positions."""
    found = [part for name, part in model.bridge.named_modules() if name.split(".")[-1] == "rotary_emb"]
    if not found:
        return None
    cos, sin = found[0](like[None], torch.arange(len(like), device=like.device)[None])
    return cos[0].to(like), sin[0].to(like)


def _refuse(prompt: FrozenPrompt, layer: int, head: int, query: int, key: int) -> None:
    layers = prompt.frozen.layers
    if not 0 <= layer < len(layers):
        raise UserError(f"expected a layer in 0..{len(layers) - 1}; got {layer}; choose one of those")
    heads = len(layers[layer].pattern)
    if not 0 <= head < heads:
        raise UserError(f"expected a head in 0..{heads - 1}; got {head}; choose one of those")
    if not 0 <= key <= query < prompt.frozen.n_positions:
        raise UserError(
            f"expected a key no later than its query, and the query in 0..{prompt.frozen.n_positions - 1}; got query "
            f"{query}, key {key}; choose such positions"
        )
