"""Virtual weights: what a feature writes, carried along a path, read by a feature above, with mean norm denominators.

    residual stream   V_ij = d_i . C diag(g_2) e_j mean(1 / s_2)
    head h            V_ij = d_i mean(1 / s_1) C diag(g_1) W_V W_O C diag(g_2) e_j mean(1 / s_2)

times what arrives, `f_i(p)` or `sum_q A_h(p, q) f_i(q)`, this is the edge of an attribution graph with the corpus' mean
norms in place of a prompt's [Ameisen et al. 2025, "Global weights"].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.lenses.graphs.frozen import FrozenLayer, freeze
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.weights.census import Census
from llm_codes.lenses.weights.paths import RESIDUAL, Columns, Path, Targets
from llm_codes.models import Model


@dataclass(frozen=True)
class VirtualWeights:
    """decoders: of all layers but the last, [column, width]. read: what each target reads of the stream, [width,
    target]. layers: frozen blocks, for their heads' maps. before_attention: mean of 1 / s_1, by layer."""

    columns: Columns
    targets: Targets
    decoders: Float[Tensor, "column width"]
    read: Float[Tensor, "width target"]
    layers: tuple[FrozenLayer, ...]
    before_attention: Float[Tensor, " layer"]

    def along(self, path: Path) -> Float[Tensor, "column target"]:
        """Of all columns of a path; 0 to targets that the path does not reach, and from features not below them."""
        reach = self.columns.reach(path)
        read = self.read
        if path.head != RESIDUAL:
            layer = self.layers[path.layer]
            read = layer.value[path.head] @ (layer.output[path.head] @ read) * self.before_attention[path.layer]
        weights = self.decoders[:reach] @ read
        ends = torch.tensor([self.columns.reach_to(path, layer) for layer in self.targets.layer.tolist()])
        return weights * (torch.arange(reach)[:, None] < ends)


@torch.no_grad()
def virtual_weights(
    model: Model,
    tokens: Tensor,
    transcoders: Sequence[LayerTranscoder],
    columns: Columns,
    targets: Targets,
    found: Census,
) -> VirtualWeights:
    """Products of weights; tokens: any window, at which the blocks' maps are read and checked against the model."""
    layers = freeze(model, tokens).layers
    read = []
    for layer in targets.layer.unique().tolist():
        own = targets.feature[targets.layer == layer]
        read.append(layers[layer].norm2.read(transcoders[layer].encoder[:, own]) * found.before_mlp[layer])
    decoders = torch.cat([item.decoder for item in transcoders[:-1]])
    return VirtualWeights(columns, targets, decoders, torch.cat(read, 1), layers, found.before_attention)
