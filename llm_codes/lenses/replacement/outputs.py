"""What stands in for the output of an MLP: its transcoder, a linear map, the transcoder with shuffled vectors, a mean.

Axes: batch, position, width; layers count from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import HarvestOptions, harvest
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.saes.cross_layer import CrossLayerTranscoder
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site

TRANSCODERS, LINEAR, SHUFFLED, MEANS = "transcoders", "linear maps", "shuffled transcoders", "mean outputs"
VARIANTS = (TRANSCODERS, LINEAR, SHUFFLED, MEANS)
RIDGE = 1e-6


@dataclass(frozen=True)
class CrossLayerWrite:
    """What a cross-layer transcoder writes to one layer, from what this layer and all below read.

    on: [row, feature] by layer, the features that are on whatever is read (linear, so that rounding cannot let another
    in); none: those above their thresholds.
    """

    transcoder: CrossLayerTranscoder
    layer: int
    on: tuple[Tensor, ...] | None = None

    def features(self, layer: int, x: Tensor) -> Float[Tensor, "row feature"]:
        """Of one layer, from what it reads, [... width]."""
        flat, own = x.reshape(-1, x.shape[-1]), self.transcoder
        if self.on is None:
            return own.features(layer, flat)
        return torch.addmm(own.encoder_bias[layer], flat.to(own.encoder), own.encoder[layer].T) * self.on[layer]

    def written(self, features: Sequence[Float[Tensor, "row feature"]], shape: Sequence[int]) -> Tensor:
        """In the shape of what is replaced, [... width]."""
        return self.transcoder.written(self.layer, features).reshape(*shape[:-1], -1)


Write = Callable[[Tensor], Tensor] | CrossLayerWrite
"""From what an MLP reads to what stands in for what it writes, [... width]; or a layer of a cross-layer transcoder."""


class LinearFit:
    """A `harvest` consumer: the least-squares linear map from MLP input to MLP output of each layer, and its mean.

    Sums about the first batch's mean in float64; a ridge of 1e-6 of the mean variance keeps dead directions harmless.
    """

    def __init__(self, model: Model, hooks: Sequence[tuple[str, str]]) -> None:
        self.places = [(resolve_site(model, first), resolve_site(model, second)) for first, second in hooks]
        self.sites: list[Site] = [site for pair in self.places for site in pair]
        self.count = 0
        self._shift: list[tuple[Tensor, Tensor]] = []
        self._sums: list[list[Tensor]] = []

    def memory_bytes(self) -> int:
        return sum(8 * first.width * (first.width + second.width + 2) for first, second in self.places)

    def update(self, activations: Any, batch: Batch, keep: Tensor) -> None:
        pairs = [tuple(activations[site.hook][keep].double().cpu() for site in place) for place in self.places]
        if not self._shift:
            self._shift = [(x.mean(0), y.mean(0)) for x, y in pairs]
            self._sums = [[torch.zeros(()) for _ in range(4)] for _ in pairs]
        self.count += int(keep.sum())
        for number, ((x, y), (x0, y0)) in enumerate(zip(pairs, self._shift, strict=True)):
            x, y = x - x0, y - y0
            for place, term in enumerate((x.sum(0), y.sum(0), x.T @ x, x.T @ y)):
                self._sums[number][place] = self._sums[number][place] + term

    def maps(self) -> list[tuple[Float[Tensor, "in out"], Float[Tensor, " out"], Float[Tensor, " out"]]]:
        """Weight, offset and mean output of each layer."""
        out = []
        for (x0, y0), (x, y, square, cross) in zip(self._shift, self._sums, strict=True):
            mean_x, mean_y = x / self.count, y / self.count
            square = square - self.count * torch.outer(mean_x, mean_x)
            square += RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
            weight = torch.linalg.solve(square, cross - self.count * torch.outer(mean_x, mean_y))
            mean = y0 + mean_y
            out.append((weight, mean - (x0 + mean_x) @ weight, mean))
        return out


class Opened(Protocol):
    """Transcoders that stand in for MLPs (`stand_ins`)."""

    @property
    def hooks(self) -> list[tuple[str, str]]: ...
    def writes(self) -> list[Write]: ...
    def shuffled(self, seed: int) -> list[Write]: ...


def writers(model: Model, opened: Opened, train: Corpus, walk: HarvestOptions, seed: int = 0) -> dict[str, list[Write]]:
    """For each variant what stands in at each layer; the maps and means are fitted on training documents."""
    fit = LinearFit(model, opened.hooks)
    harvest(model, train, [fit], walk, label="linear maps")
    fitted = fit.maps()
    return {
        TRANSCODERS: opened.writes(),
        LINEAR: [_linear(weight, offset) for weight, offset, _ in fitted],
        SHUFFLED: opened.shuffled(seed),
        MEANS: [_constant(mean) for _, _, mean in fitted],
    }


def shuffled(item: LayerTranscoder, seed: int) -> Callable[[Tensor], Tensor]:
    """The same transcoder whose features write one another's vectors: as active, as long, without the pairing."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(item.n_features, generator=generator)
    decoder = item.decoder[order.to(item.decoder.device)]

    def write(x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1]).to(decoder.dtype)
        return item.written(item.active(flat), flat, decoder).reshape(*x.shape[:-1], -1)

    return write


def with_features_on(item: LayerTranscoder, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The transcoder with the features that are on at these inputs, whatever it reads: linear, so that rounding cannot
    let another feature into the largest k."""
    on = item.active(x.reshape(-1, x.shape[-1]).to(item.decoder)) != 0

    def write(x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1]).to(item.decoder)
        return item.written((flat @ item.encoder + item.encoder_bias) * on, flat).reshape(*x.shape[:-1], -1)

    return write


def _linear(weight: Tensor, offset: Tensor) -> Write:
    return lambda x: x @ weight.to(x) + offset.to(x)


def _constant(mean: Tensor) -> Write:
    return lambda x: mean.to(x).expand(*x.shape[:-1], -1)
