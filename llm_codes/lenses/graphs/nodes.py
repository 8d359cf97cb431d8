"""The sources of a prompt's graph: active features, errors and token embeddings, and what each writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llm_codes.lenses.graphs.frozen import FrozenLayer, FrozenModel, freeze
from llm_codes.lenses.graphs.targets import LogitTarget, readings
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model


@dataclass(frozen=True)
class ActiveFeatures:
    """Active features of all layers, ordered by layer, then position, then number.

    places: [feature, 3], layer, position and number. values: activations. errors: what the transcoders miss,
    [layer, position, width].
    """

    places: Int[Tensor, "feature 3"]
    values: Float[Tensor, " feature"]
    errors: Float[Tensor, "layer position width"]

    def of_layer(self, layer: int) -> slice:
        """The features of a layer, which stand together."""
        layers = self.places[:, 0].contiguous()
        ends = torch.searchsorted(layers, torch.tensor([layer, layer + 1], device=layers.device))
        return slice(int(ends[0]), int(ends[1]))

    def strongest(self) -> dict[tuple[int, int], float]:
        """The largest activation of every feature that is on anywhere in the prompt, by layer and number."""
        out: dict[tuple[int, int], float] = {}
        for (layer, _, feature), value in zip(self.places.tolist(), self.values.tolist(), strict=True):
            out[layer, feature] = max(value, out.get((layer, feature), 0.0))
        return out

    def only(self, kept: Tensor) -> ActiveFeatures:
        """Those at the given (rising) indices; the errors stay what they are."""
        return ActiveFeatures(self.places[kept], self.values[kept], self.errors)


def active_features(
    frozen: FrozenModel, transcoders: Sequence[LayerTranscoder], featureless: int = 1
) -> ActiveFeatures:
    """Every feature that is on, and the errors: MLP output less features, bias and skip map.

    featureless: leading positions without features; all that their MLPs write is an error.
    """
    places, values, errors = [], [], []
    for number, (layer, transcoder) in enumerate(zip(frozen.layers, transcoders, strict=True)):
        active = transcoder.active(layer.mlp_in)
        active[:featureless] = 0
        position, feature = active.nonzero(as_tuple=True)
        places.append(torch.stack([torch.full_like(position, number), position, feature], 1))
        values.append(active[position, feature])
        errors.append(layer.mlp_out - transcoder.written(active, layer.mlp_in))
    return ActiveFeatures(torch.cat(places), torch.cat(values), torch.stack(errors))


@dataclass(frozen=True)
class FrozenPrompt:
    """A prompt as its graph and its tests both need it: the frozen model, and the sources."""

    frozen: FrozenModel
    active: ActiveFeatures


def next_prompt(prompts: Sequence[FrozenPrompt], number: int) -> ActiveFeatures | None:
    """What is on in the prompt after one, the first after the last: where patches come from. None of a single one."""
    return prompts[(number + 1) % len(prompts)].active if len(prompts) > 1 else None


@torch.no_grad()
def frozen_prompt(
    model: Model, tokens: Int[Tensor, " position"], transcoders: Sequence[LayerTranscoder], featureless: int = 1
) -> FrozenPrompt:
    """The model made linear at a prompt, and its active features; errors are those of `freeze`."""
    frozen = freeze(model, tokens)
    return FrozenPrompt(frozen, active_features(frozen, transcoders, featureless))


def total_effects(
    frozen: FrozenModel,
    transcoders: Sequence[LayerTranscoder],
    active: ActiveFeatures,
    targets: tuple[LogitTarget, ...],
) -> Float[Tensor, "target feature"]:
    """Activation times total derivative of each target in the frozen model, over all paths through active features.

    One walk down; cheap, so that features can be ranked before any edge is computed.
    """
    n, out = frozen.n_positions, torch.zeros(len(targets), len(active.values)).to(active.values)
    gradient = torch.zeros(n, len(targets), frozen.embeddings.shape[1]).to(active.values)
    gradient[-1] = readings(frozen, targets)
    for number in reversed(range(len(frozen.layers))):
        layer, transcoder, own = frozen.layers[number], transcoders[number], active.of_layer(number)
        position, feature = active.places[own, 1], active.places[own, 2]
        slope = torch.einsum("ftd,fd->ft", gradient[position], transcoder.decoder[feature])
        out[:, own] = (slope * active.values[own, None]).T
        into = encoder_readings(layer, transcoder, position, feature)
        through = skipped(gradient, layer, transcoder)
        gradient = gradient if through is None else gradient + through
        gradient = gradient.index_add(0, position, slope[:, :, None] * into[:, None])
        gradient = layer.attend_backwards(gradient)
    return out


def encoder_readings(layer: FrozenLayer, transcoder: LayerTranscoder, position: Tensor, feature: Tensor) -> Tensor:
    """What features read of the residual stream before the MLP's norm, its denominator included: [feature, width]."""
    return layer.norm2.read(transcoder.encoder[:, feature]).T / layer.norm2.scale[position][:, None]


def skipped(gradient: Tensor, layer: FrozenLayer, transcoder: LayerTranscoder) -> Tensor | None:
    """The gradient through a transcoder's skip map to the residual stream before the MLP; none without one."""
    if transcoder.skip is None:
        return None
    read = torch.einsum("qtd,ed->eqt", gradient, transcoder.skip)
    return layer.norm2.read(read).permute(1, 2, 0) / layer.norm2.scale[: len(gradient), None, None]
