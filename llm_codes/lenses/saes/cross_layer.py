"""A cross-layer transcoder: features of each layer, what they write to it and to every layer above, and one output.

    f_i  = a_i [a_i > t_i],  a_i = x_i E_i^T + e_i
    y'_j = sum over i <= j of f_i D_ij + b_j

Axes: layer, row, feature (of one layer), width. [Ameisen et al. 2025, Circuit tracing, Architecture]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.lenses.saes.matching import check_fits


@dataclass(frozen=True, repr=False)
class CrossLayerTranscoder:
    """Weights in the model's units, and where each layer reads and writes.

    encoder: [layer, feature, d_in]; threshold: [layer, feature], 0 of a ReLU. decoders: of layer i
    [feature, L - i, d_out], the nearest layer first. hooks, hooks_out: by layer, empty where nothing says.
    """

    encoder: Float[Tensor, "layer feature d_in"]
    encoder_bias: Float[Tensor, "layer feature"]
    threshold: Float[Tensor, "layer feature"]
    decoders: tuple[Float[Tensor, "feature above d_out"], ...]
    decoder_bias: Float[Tensor, "layer d_out"]
    hooks: tuple[str, ...]
    hooks_out: tuple[str, ...]
    metadata: Mapping[str, Any]
    name: str

    @property
    def n_layers(self) -> int:
        return len(self.decoders)

    @property
    def n_features(self) -> int:
        """Of one layer."""
        return self.encoder.shape[1]

    @property
    def d_in(self) -> int:
        return self.encoder.shape[2]

    def __repr__(self) -> str:
        return f"CrossLayerTranscoder({self.name}: {self.n_layers} layers of {self.n_features}, {self.d_in} wide)"

    def tensors(self) -> dict[str, Tensor]:
        """All that it computes with, by name."""
        named = {"encoder": self.encoder, "encoder_bias": self.encoder_bias, "threshold": self.threshold}
        decoders = {f"decoder/{layer}": value for layer, value in enumerate(self.decoders)}
        return {**named, **decoders, "decoder_bias": self.decoder_bias}

    @torch.no_grad()
    def features(self, layer: int, x: Float[Tensor, "row d_in"]) -> Float[Tensor, "row feature"]:
        """Features of one layer, from what that layer reads."""
        scores = torch.addmm(self.encoder_bias[layer], x.to(self.encoder), self.encoder[layer].T)
        return scores * (scores > self.threshold[layer])

    @torch.no_grad()
    def written(self, layer: int, features: Sequence[Float[Tensor, "row feature"]]) -> Float[Tensor, "row d_out"]:
        """What the features of this layer and those below (in order, from layer 0) write to one layer."""
        out = self.decoder_bias[layer].expand(len(features[0]), -1).clone()
        for source, values in enumerate(features[: layer + 1]):
            out.addmm_(values, self.decoders[source][:, layer - source])
        return out

    def places(self) -> list[CrossLayerPlace]:
        """Its layers, each as a dictionary that reads several places and writes one."""
        return [
            CrossLayerPlace(self, layer, hook, self.hooks_out[layer], f"{self.name}-layer-{layer}")
            for layer, hook in enumerate(self.hooks)
        ]


@dataclass(frozen=True, repr=False)
class CrossLayerPlace:
    """One layer: its own features, read at `hook`, and the output at `hook_out` that layers below write to as well."""

    transcoder: CrossLayerTranscoder
    layer: int
    hook: str
    hook_out: str
    name: str

    @property
    def n_features(self) -> int:
        return self.transcoder.n_features

    @property
    def d_in(self) -> int:
        return self.transcoder.d_in

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.transcoder.metadata

    @property
    def hooks_read(self) -> tuple[str, ...]:
        """Everything its output depends on."""
        return self.transcoder.hooks[: self.layer + 1]

    def encode(self, activations: Float[Tensor, "row d_in"]) -> Float[Tensor, "row feature"]:
        """Features of this layer."""
        return self.transcoder.features(self.layer, activations)

    def written_from(self, seen: Mapping[str, Tensor]) -> Float[Tensor, "... d_out"]:
        """What stands in for this layer's output, from activations [... width] by hook name."""
        shape = seen[self.hook].shape
        flat = [seen[hook].reshape(-1, shape[-1]) for hook in self.hooks_read]
        features = [self.transcoder.features(layer, x) for layer, x in enumerate(flat)]
        return self.transcoder.written(self.layer, features).reshape(*shape[:-1], -1)


def check_cross_layer(transcoder: CrossLayerTranscoder, model: Any) -> CrossLayerTranscoder:
    """The transcoder, if it belongs to this model and reads and writes all its layers; hooks named as the model does.

    Raises:
        UserError: it does not; see `check_fits`.
    """
    if transcoder.n_layers != model.n_layers:
        raise UserError(
            f"expected a cross-layer transcoder of {model.n_layers} layers for {model.name}; {transcoder.name} has "
            f"{transcoder.n_layers}; use the model it was trained on"
        )
    fitting = [check_fits(place, model) for place in transcoder.places()]
    hooks, hooks_out = tuple(one.hook for one in fitting), tuple(one.hook_out for one in fitting)
    return replace(transcoder, hooks=hooks, hooks_out=hooks_out)
