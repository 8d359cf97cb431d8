"""Direct effects of every source on every target: one walk down the frozen model for each target position.

    # 1 start    logits read the last residual stream; features read the stream before their MLP
    # 2 MLPs     the gradient at (layer, position) times what features and the error write there: columns of edges
    # 3 attend   the gradient goes through the frozen attention to all earlier positions
    # 4 bottom   the gradient times the embeddings, and times the biases met on the way

A target's features at one position, of all layers, go down together, so that every step is a few large matrix products.
The result has a row for each target and adds up: edges and biases of a row sum to the target's activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.lenses.graphs.frozen import FrozenModel
from llm_codes.lenses.graphs.nodes import ActiveFeatures, encoder_readings, skipped
from llm_codes.lenses.graphs.targets import LogitTarget, constants, readings
from llm_codes.lenses.graphs.transcoders import LayerTranscoder


@dataclass(frozen=True)
class DirectEffects:
    """Rows: kept features, then logits. Columns of edges: kept features, errors (layer, position), tokens.

    Columns of biases: attention and decoder bias of each layer, positions, features left out, the target's own
    constant.
    """

    edges: Float[Tensor, "target source"]
    biases: Float[Tensor, "target bias"]


@dataclass(frozen=True)
class _Writes:
    """What one layer's MLP writes by position, padded: error, features left out, kept features."""

    vectors: Float[Tensor, "position width slot"]
    filled: Tensor
    start: int
    bias: Float[Tensor, " width"]


FIRST = 2  # slots before the features: the error, and the features left out


def bias_names(n_layers: int) -> tuple[str, ...]:
    """Names of the bias columns."""
    return (*(f"biases of layer {layer}" for layer in range(n_layers)), "positions", "features left out", "own bias")


def direct_effects(
    frozen: FrozenModel,
    transcoders: Sequence[LayerTranscoder],
    active: ActiveFeatures,
    kept: Tensor,
    targets: tuple[LogitTarget, ...],
) -> DirectEffects:
    """Edges between the kept features, from errors and tokens, and to the targets; see the module."""
    walk = _Walk(frozen, transcoders, active, kept, targets)
    for position in range(frozen.n_positions):
        walk.down(position)
    return DirectEffects(walk.edges, walk.biases)


class _Walk:
    def __init__(
        self,
        frozen: FrozenModel,
        transcoders: Sequence[LayerTranscoder],
        active: ActiveFeatures,
        kept: Tensor,
        targets: tuple[LogitTarget, ...],
    ) -> None:
        self.frozen, self.transcoders, self.targets = frozen, transcoders, targets
        self.features = active.only(kept)
        n, layers = len(kept), len(frozen.layers)
        columns = n + (layers + 1) * frozen.n_positions
        self.edges = torch.zeros(n + len(targets), columns).to(active.values)
        self.biases = torch.zeros(n + len(targets), layers + 3).to(active.values)
        self.errors_from = n
        self.tokens_from = n + layers * frozen.n_positions
        self.writes = [self._writes(layer, active, kept) for layer in range(layers)]
        self.of_layer = [self.features.of_layer(layer) for layer in range(layers)]
        self._own_constants()

    def _writes(self, number: int, active: ActiveFeatures, kept: Tensor) -> _Writes:
        own, transcoder = self.features.of_layer(number), self.transcoders[number]
        position, feature = self.features.places[own, 1], self.features.places[own, 2]
        vectors = transcoder.decoder[feature] * self.features.values[own, None]
        counts = torch.bincount(position, minlength=self.frozen.n_positions)
        starts = counts.cumsum(0) - counts
        slot = torch.arange(len(position), device=position.device) - starts[position] + FIRST
        stack = vectors.new_zeros(self.frozen.n_positions, FIRST + int(counts.max()), vectors.shape[1])
        stack[position, slot] = vectors
        stack[:, 0] = active.errors[number]
        every = active.of_layer(number)
        place, which = active.places[every, 1], active.places[every, 2]
        stack[:, 1].index_add_(0, place, transcoder.decoder[which] * active.values[every, None])
        stack[:, 1].index_add_(0, position, -vectors)
        filled = torch.arange(stack.shape[1] - FIRST, device=position.device) < counts[:, None]
        return _Writes(stack.transpose(1, 2).contiguous(), filled, own.start, transcoder.decoder_bias)

    def _own_constants(self) -> None:
        for number, own in enumerate(self.features.of_layer(layer) for layer in range(len(self.transcoders))):
            transcoder, layer = self.transcoders[number], self.frozen.layers[number]
            feature = self.features.places[own, 2]
            constant = layer.norm2.bias @ transcoder.encoder[:, feature] + transcoder.encoder_bias[feature]
            self.biases[own, -1] = constant
        self.biases[len(self.features.values) :, -1] = constants(self.frozen, self.targets)

    def down(self, position: int) -> None:
        """All targets at a position, from the highest layer to the embeddings."""
        n, width = position + 1, self.frozen.embeddings.shape[1]
        gradient = self.edges.new_zeros(n, 0, width)
        rows = self.edges.new_zeros(0, dtype=torch.long)
        if n == self.frozen.n_positions:
            start = len(self.features.values)
            gradient, rows = self._joined(gradient, rows, readings(self.frozen, self.targets), start)
        for number in reversed(range(len(self.frozen.layers))):
            layer, transcoder = self.frozen.layers[number], self.transcoders[number]
            self._mlp_columns(number, gradient, rows)
            through = skipped(gradient, layer, transcoder)
            gradient = gradient if through is None else gradient + through
            own = self.of_layer[number]
            places = self.features.places[own]
            span = torch.searchsorted(places[:, 1].contiguous(), torch.tensor([position, n], device=places.device))
            first, last = span.tolist()
            here = places[first:last]
            read = encoder_readings(layer, transcoder, here[:, 1], here[:, 2])
            gradient, rows = self._joined(gradient, rows, read, own.start + first)
            if len(rows):
                self.biases[rows, number] += gradient.sum(0) @ layer.attention_bias
                gradient = layer.attend_backwards(gradient)
        self._bottom(gradient, rows)

    @staticmethod
    def _joined(gradient: Tensor, rows: Tensor, read: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """With new readings at the last of these positions; their rows follow `start`."""
        new = gradient.new_zeros(len(gradient), len(read), gradient.shape[2])
        new[-1] = read
        numbers = torch.arange(start, start + len(read), device=rows.device)
        return torch.cat([gradient, new], 1), torch.cat([rows, numbers])

    def _mlp_columns(self, number: int, gradient: Tensor, rows: Tensor) -> None:
        if not len(rows):
            return
        writes, n = self.writes[number], len(gradient)
        effect = torch.bmm(gradient, writes.vectors[:n])  # [position, target, slot]
        errors = self.errors_from + number * self.frozen.n_positions
        self.edges[rows, errors : errors + n] = effect[:, :, 0].T
        self.biases[rows, -2] += effect[:, :, 1].sum(0)
        self.biases[rows, number] += gradient.sum(0) @ writes.bias
        columns = effect[:, :, FIRST:].transpose(0, 1)[:, writes.filled[:n]]
        self.edges[rows, writes.start : writes.start + columns.shape[1]] = columns

    def _bottom(self, gradient: Tensor, rows: Tensor) -> None:
        if not len(rows):
            return
        n = len(gradient)
        tokens = torch.einsum("qtd,qd->tq", gradient, self.frozen.embeddings[:n])
        self.edges[rows, self.tokens_from : self.tokens_from + n] = tokens
        self.biases[rows, -3] += torch.einsum("qtd,qd->t", gradient, self.frozen.positions[:n])
