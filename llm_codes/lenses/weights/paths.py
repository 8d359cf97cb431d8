"""The ways from a feature to a feature above it, and what arrives along each on a text.

    residual stream     f_i(p)                      i in a layer below the target's, at the same position
    head h of layer l   sum_q A_h(p, q) f_i(q)      i in a layer below l, l up to the target's; A as the model has it

A connector is a regression of a feature's pre-activation on all of these, virtual weights are their products of
decoders, heads and encoders. Columns are numbered path by path, `path * width + feature`, features of all layers one
after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.progress import progress
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Batch, Corpus
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model

RESIDUAL = -1


@dataclass(frozen=True)
class Path:
    """The residual stream (head and layer `RESIDUAL`), or one head."""

    layer: int = RESIDUAL
    head: int = RESIDUAL

    @property
    def name(self) -> str:
        return "residual" if self.head == RESIDUAL else f"head {self.layer}.{self.head}"


@dataclass(frozen=True)
class Targets:
    """Features whose inputs are asked for, by rising layer."""

    layer: Int[Tensor, " target"]
    feature: Int[Tensor, " target"]

    def __len__(self) -> int:
        return len(self.layer)


@dataclass(frozen=True)
class Columns:
    """How columns are numbered: `ends[l]` features lie below layer l; `paths` as listed."""

    ends: tuple[int, ...]
    paths: tuple[Path, ...]

    @property
    def width(self) -> int:
        """Features of all layers but the last, which has nothing above it."""
        return self.ends[-1]

    def reach(self, path: Path) -> int:
        """Columns of a path: the features that it can carry to some target."""
        return self.width if path.head == RESIDUAL else self.ends[path.layer]

    def reach_to(self, path: Path, layer: int) -> int:
        """Of these, how many can arrive at a target of this layer."""
        if path.head == RESIDUAL:
            return self.ends[layer]
        return self.ends[path.layer] if path.layer <= layer else 0

    def split(self, columns: Int[Tensor, " edge"]) -> tuple[Tensor, Tensor, Tensor]:
        """Path number, layer and feature of each column."""
        path, feature = columns // self.width, columns % self.width
        ends = torch.tensor(self.ends)
        layer = torch.searchsorted(ends, feature, right=True) - 1
        return path, layer, feature - ends[layer]


def columns_of(transcoders: Sequence[LayerTranscoder], n_heads: int) -> Columns:
    """All paths between the features of different layers of a model with so many heads a layer."""
    ends = [0]
    for transcoder in transcoders[:-1]:
        ends.append(ends[-1] + transcoder.n_features)
    heads = [Path(layer, head) for layer in range(1, len(transcoders)) for head in range(n_heads)]
    return Columns(tuple(ends), (Path(), *heads))


@dataclass
class Reading:
    """What one batch of windows holds. Rows: kept positions, window by window."""

    columns: Columns
    features: tuple[Float[Tensor, "window position feature"], ...]
    patterns: tuple[Float[Tensor, "window head query key"], ...]
    mlp_in: tuple[Float[Tensor, "row width"], ...]
    scales: tuple[tuple[Tensor, Tensor], ...]
    keep: Bool[Tensor, "window position"]
    batch: Batch

    @cached_property
    def below(self) -> Float[Tensor, "window position feature"]:
        """Features of all layers but the last, one after the other."""
        return torch.cat(self.features[:-1], -1)

    @cached_property
    def document(self) -> Int[Tensor, " row"]:
        """The document of each row."""
        return self.batch.document[:, None].expand(self.keep.shape)[self.keep.cpu()]

    def regressors(self, path: Path) -> Float[Tensor, "row column"]:
        """What arrives along a path at every kept position."""
        if path.head == RESIDUAL:
            return self.below[self.keep]
        mixed = self.patterns[path.layer][:, path.head] @ self.below[..., : self.columns.reach(path)]
        return mixed[self.keep]

    def gathered(self, chosen: Int[Tensor, "target input"]) -> Float[Tensor, "target input row"]:
        """The regressors at given columns of each target."""
        flat = chosen.flatten()
        out = self.below.new_empty(len(flat), int(self.keep.sum()))
        number = flat // self.columns.width
        for which in number.unique().tolist():
            own = (number == which).nonzero().flatten()
            out[own] = self.regressors(self.columns.paths[which]).T[flat[own] % self.columns.width]
        return out.view(*chosen.shape, -1)

    def preactivations(self, transcoders: Sequence[LayerTranscoder], targets: Targets) -> Float[Tensor, "row target"]:
        """The linear pre-activation of every target, whether it is on or not."""
        parts = []
        for layer in targets.layer.unique().tolist():
            own, transcoder = targets.feature[targets.layer == layer], transcoders[layer]
            parts.append(self.mlp_in[layer] @ transcoder.encoder[:, own] + transcoder.encoder_bias[own])
        return torch.cat(parts, 1)

    def activations(self, targets: Targets) -> Float[Tensor, "row target"]:
        """The activation of every target, 0 where it is off."""
        parts = []
        for layer in targets.layer.unique().tolist():
            parts.append(self.features[layer][self.keep][:, targets.feature[targets.layer == layer]])
        return torch.cat(parts, 1)


@torch.no_grad()
def read_corpus(
    model: Model,
    corpus: Corpus,
    transcoders: Sequence[LayerTranscoder],
    columns: Columns | None,
    walk: HarvestOptions,
    *,
    label: str,
) -> Iterator[Reading]:
    """Features, attention patterns and pre-activations of every batch, in one forward pass each.

    The first `walk.exclude_positions` positions of a window are no rows and have no features (dictionaries are trained
    without them); columns: none where only features are asked for.
    """
    hooks = [hook for layer in range(model.n_layers) for hook in _hooks(transcoders, layer)]
    n = -(-len(corpus) // walk.batch_size)
    for batch in progress(corpus.batches(walk.batch_size), label=label, total=n, unit="batch"):
        seen = model.activations(batch.tokens, hooks)
        keep = batch.mask.clone()
        keep[:, : walk.exclude_positions] = False
        features, patterns, inputs, scales = [], [], [], []
        for layer, transcoder in enumerate(transcoders):
            pattern, first, second, into = (seen[name] for name in _hooks(transcoders, layer))
            active = transcoder.active(into.flatten(0, 1)).view(*keep.shape, -1)
            active[~keep] = 0
            features.append(active)
            patterns.append(pattern)
            inputs.append(into[keep])
            scales.append((first[..., 0][keep], second[..., 0][keep]))
        numbering = columns or Columns((0,), ())
        yield Reading(numbering, tuple(features), tuple(patterns), tuple(inputs), tuple(scales), keep, batch)


def _hooks(transcoders: Sequence[LayerTranscoder], layer: int) -> tuple[str, ...]:
    name = f"blocks.{layer}"
    return (
        f"{name}.attn.hook_pattern",
        f"{name}.ln1.hook_scale",
        f"{name}.ln2.hook_scale",
        transcoders[layer].folder.hook,
    )
