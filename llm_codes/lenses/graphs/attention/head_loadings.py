"""Which heads carry an edge? The share of a direct effect that passes through each head, at its frozen pattern.

    loading of head h in layer l = the edge less the edge of the same model without that head
                                 = g_l . A_h (x_l / s_1) C diag(g_1) W_V W_O

x_l is what the source's write has become where layer l reads it (moved by the heads below, MLPs held), g_l what the
target reads of what layer l's attention writes (through the heads above). A path through two heads counts for both, so
that loadings of an edge over several layers of attention need not sum to it; `residual` is what arrives at the target's
own position through no head at all [Ameisen et al. 2025, "Attention heads"; Kamath et al. 2025, head loadings].

Axes: edge, position, width, head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.lenses.graphs.frozen import FrozenLayer, FrozenModel
from llm_codes.lenses.graphs.nodes import FrozenPrompt, encoder_readings, skipped
from llm_codes.lenses.graphs.rows import ERROR, FEATURE, LOGIT, AttributionGraph, EdgeHeads, GraphEdge, HeadLoading
from llm_codes.lenses.graphs.targets import readings
from llm_codes.lenses.graphs.transcoders import LayerTranscoder

SHOWN = 4  # heads named for an edge
AT_ONCE = 128  # edges whose streams are in memory together


@dataclass(frozen=True)
class Loadings:
    """heads: [layer, edge, head], 0 where a layer lies outside the edge; residual: [edge], through no head."""

    heads: Float[Tensor, "layer edge head"]
    residual: Float[Tensor, " edge"]


@torch.no_grad()
def head_loadings(
    graph: AttributionGraph,
    prompt: FrozenPrompt,
    transcoders: Sequence[LayerTranscoder],
    edges: Sequence[GraphEdge],
) -> Loadings:
    """The loading of every head on every edge; all edges at once, layer by layer."""
    frozen = prompt.frozen
    walk = _Walk(graph, prompt, transcoders, edges)
    forward, direct = walk.streams()
    heads = torch.zeros(len(frozen.layers), len(edges), len(frozen.layers[0].pattern)).to(graph.edges)
    gradient = torch.zeros(len(edges), *frozen.embeddings.shape).to(graph.edges)
    residual = torch.zeros(len(edges)).to(graph.edges)
    for number in reversed(range(len(frozen.layers) + 1)):
        if number < len(frozen.layers):
            gradient = walk.past_mlp(gradient, number)
        residual += walk.start(gradient, number, direct[number])
        if number < len(frozen.layers):
            layer = frozen.layers[number]
            heads[number] = _through_heads(layer, forward[number], gradient)
            gradient = layer.attend_backwards(gradient.transpose(0, 1)).transpose(0, 1).contiguous()
    return Loadings(heads, residual)


def edge_heads(
    graph: AttributionGraph,
    prompt: FrozenPrompt,
    transcoders: Sequence[LayerTranscoder],
    edges: Sequence[GraphEdge],
) -> tuple[EdgeHeads, ...]:
    """Edges with their residual part and the heads that carry most of each."""
    if len(edges) > AT_ONCE:
        parts = (edges[start : start + AT_ONCE] for start in range(0, len(edges), AT_ONCE))
        return tuple(row for part in parts for row in edge_heads(graph, prompt, transcoders, part))
    if not edges:
        return ()
    found = head_loadings(graph, prompt, transcoders, edges)
    out = []
    for number, edge in enumerate(edges):
        own = found.heads[:, number]
        order = own.flatten().abs().argsort(descending=True)[:SHOWN].tolist()
        named = [(place // own.shape[1], place % own.shape[1], float(own.flatten()[place])) for place in order]
        strongest = tuple(HeadLoading(layer, head, effect) for layer, head, effect in named if effect != 0)
        out.append(EdgeHeads(edge.source, edge.target, edge.effect, float(found.residual[number]), strongest))
    return tuple(out)


def _through_heads(
    layer: FrozenLayer, x: Float[Tensor, "edge position width"], gradient: Float[Tensor, "edge position width"]
) -> Float[Tensor, "edge head"]:
    read = torch.einsum("nkd,hde->nhke", x / layer.norm1.scale[:, None], layer.value)
    pulled = torch.einsum("nqd,hed->nhqe", gradient, layer.output)
    return torch.einsum("hqk,nhke,nhqe->nh", layer.pattern, read, pulled)


class _Walk:
    """Where the edges start and end, and what passes between layers besides attention."""

    def __init__(
        self,
        graph: AttributionGraph,
        prompt: FrozenPrompt,
        transcoders: Sequence[LayerTranscoder],
        edges: Sequence[GraphEdge],
    ) -> None:
        self.graph, self.prompt, self.transcoders, self.edges = graph, prompt, transcoders, edges
        self.frozen: FrozenModel = prompt.frozen
        self.sources = [graph.node(edge.source) for edge in edges]
        self.targets = [graph.node(edge.target) for edge in edges]
        self.logits = readings(self.frozen, graph.targets)

    def streams(self) -> tuple[list[Tensor], list[Tensor]]:
        """What every layer's attention reads of each source, [layer][edge, position, width], and what is there without
        any attention at the targets of that layer (the last entry: at the logits)."""
        moved = torch.zeros(len(self.edges), *self.frozen.embeddings.shape).to(self.graph.edges)
        alone = moved.clone()
        read, direct = [], []
        for number in range(len(self.frozen.layers) + 1):
            for row, source in enumerate(self.sources):
                if source.layer == number - 1:
                    vector = self._write(row)
                    moved[row, source.position] += vector
                    alone[row, source.position] += vector
            read.append(moved)
            direct.append(alone)
            if number == len(self.frozen.layers):
                break
            layer = self.frozen.layers[number]
            moved = moved + torch.stack([layer.attend(one) - layer.attention_bias for one in moved])
            moved, alone = self._with_skip(moved, number), self._with_skip(alone, number)
        return read, direct

    def _with_skip(self, stream: Tensor, number: int) -> Tensor:
        skip = self.transcoders[number].skip
        return stream if skip is None else stream + self.frozen.layers[number].norm2.linear(stream) @ skip

    def _write(self, row: int) -> Tensor:
        source = self.sources[row]
        if source.kind == FEATURE:
            decoder = self.transcoders[source.layer].decoder[source.feature]
            return decoder * self.graph.activations[self.edges[row].source]
        if source.kind == ERROR:
            return self.prompt.active.errors[source.layer, source.position]
        return self.frozen.embeddings[source.position]

    def start(self, gradient: Tensor, number: int, alone: Tensor) -> Tensor:
        """Add the readings of the targets of a layer to the gradient; returns what reaches them through no head."""
        out = torch.zeros(len(self.edges)).to(gradient)
        for row, target in enumerate(self.targets):
            if target.layer != number:
                continue
            if target.kind == LOGIT:
                first = self.graph.n_features + self.graph.n_errors + self.graph.n_positions
                read = self.logits[self.edges[row].target - first]
            else:
                place = torch.tensor([target.position]), torch.tensor([target.feature])
                read = encoder_readings(self.frozen.layers[number], self.transcoders[number], *place)[0]
            gradient[row, target.position] += read
            out[row] = alone[row, target.position] @ read
        return out

    def past_mlp(self, gradient: Tensor, number: int) -> Tensor:
        """The gradient below the MLP of a layer: itself, and through a skip map where there is one."""
        turned = gradient.transpose(0, 1)
        through = skipped(turned, self.frozen.layers[number], self.transcoders[number])
        return gradient if through is None else (turned + through).transpose(0, 1).contiguous()
