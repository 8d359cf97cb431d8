"""Transcoders that stand in for MLPs: one a layer, or one for all whose features write to several layers.

Both say where they read and write, what of their input stands in at each layer, and which of their features write one
another's vectors in the control. Axes: batch, position, width; layers count from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError
from llm_codes.lenses.graphs.transcoders import LayerTranscoder, open_transcoders, transcoders_sha256
from llm_codes.lenses.replacement.outputs import CrossLayerWrite, Write, shuffled, with_features_on
from llm_codes.lenses.saes.cross_layer import CrossLayerTranscoder, check_cross_layer
from llm_codes.lenses.saes.foreign.cross_layer import is_cross_layer, read_cross_layer
from llm_codes.lenses.saes.matching import content_hash
from llm_codes.models import Model, untrained_like
from llm_codes.sites import resolve_site


@dataclass(frozen=True)
class PerLayer:
    """A transcoder for each layer, lowest first."""

    transcoders: tuple[LayerTranscoder, ...]

    @property
    def hooks(self) -> list[tuple[str, str]]:
        return [(item.folder.hook, item.folder.hook_out) for item in self.transcoders]

    @property
    def sha256(self) -> str:
        return transcoders_sha256(self.transcoders)

    def writes(self) -> list[Write]:
        return [item.folder.reconstruct for item in self.transcoders]

    def shuffled(self, seed: int) -> list[Write]:
        return [shuffled(item, seed + layer) for layer, item in enumerate(self.transcoders)]

    def with_features_on(self, seen: Mapping[str, Tensor]) -> list[Write]:
        """With the features that are on at these inputs, whatever is read."""
        return [with_features_on(item, seen[item.folder.hook]) for item in self.transcoders]


@dataclass(frozen=True)
class CrossLayer:
    """One transcoder of all layers."""

    transcoder: CrossLayerTranscoder

    @property
    def hooks(self) -> list[tuple[str, str]]:
        return list(zip(self.transcoder.hooks, self.transcoder.hooks_out, strict=True))

    @property
    def sha256(self) -> str:
        return content_hash(self.transcoder.tensors())

    def writes(self) -> list[Write]:
        return [CrossLayerWrite(self.transcoder, layer) for layer in range(self.transcoder.n_layers)]

    def shuffled(self, seed: int) -> list[Write]:
        """Features of a layer write one another's vectors, to all layers alike: as active, as long."""
        made = []
        for layer, vectors in enumerate(self.transcoder.decoders):
            order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed + layer))
            made.append(vectors[order.to(vectors.device)])
        return CrossLayer(replace(self.transcoder, decoders=tuple(made))).writes()

    def with_features_on(self, seen: Mapping[str, Tensor]) -> list[Write]:
        """With the features that are on at these inputs, whatever is read."""
        on = []
        for layer, hook in enumerate(self.transcoder.hooks):
            x = seen[hook].reshape(-1, seen[hook].shape[-1])
            on.append(self.transcoder.features(layer, x) != 0)
        return [CrossLayerWrite(self.transcoder, layer, tuple(on)) for layer in range(self.transcoder.n_layers)]


StandIns = PerLayer | CrossLayer


def open_stand_ins(model: Model, transcoders: Any = None) -> StandIns:
    """What stands in for every MLP of a model, checked against it.

    transcoders: what `open_transcoders` takes, or a cross-layer transcoder or its folder.

    Raises:
        UserError: transcoders that do not fit the model or are missing at a layer.
    """
    if isinstance(transcoders, (str, Path)) and transcoders != "" and is_cross_layer(Path(transcoders)):
        transcoders = read_cross_layer(transcoders, model.device)
    if not isinstance(transcoders, CrossLayerTranscoder):
        return PerLayer(open_transcoders(model, transcoders))
    checked = check_cross_layer(transcoders, model)
    for layer, hook in enumerate(checked.hooks_out):
        site = resolve_site(model, hook)
        if (site.kind, site.layer) != ("mlp_out", layer):
            raise UserError(
                f"expected a transcoder that writes the MLP outputs of layers 0, 1, ...; {checked.name} writes "
                f"{', '.join(checked.hooks_out)}; train one with `sae train --cross-layer --sites-out mlp_out`"
            )
    return CrossLayer(checked)


@dataclass(frozen=True)
class UntrainedStandIns:
    """A model of fresh weights, and transcoders trained on it as on the model that it is the control of."""

    model: Model
    stand_ins: StandIns


def open_untrained_stand_ins(model: Model, folder: str, seed: int, beside: StandIns) -> UntrainedStandIns | None:
    """`untrained_like(model, seed)` and what `sae train --untrained` made of it; none where no folder is named.

    Raises:
        UserError: transcoders of another model, or of another kind than those that they are the control of.
    """
    if not folder:
        return None
    fresh = untrained_like(model, seed)
    found = open_stand_ins(fresh, folder)
    if type(found) is not type(beside):
        kinds = {PerLayer: "one transcoder a layer", CrossLayer: "a cross-layer transcoder"}
        raise UserError(
            f"expected --untrained of the kind of --transcoders, {kinds[type(beside)]}; got {kinds[type(found)]} in "
            f"{folder}; train both alike"
        )
    return UntrainedStandIns(fresh, found)


def references(stand_ins: StandIns) -> Sequence[Any] | CrossLayerTranscoder:
    """What `open_stand_ins` opens again as these."""
    if isinstance(stand_ins, CrossLayer):
        return stand_ins.transcoder
    return [item.folder for item in stand_ins.transcoders]
