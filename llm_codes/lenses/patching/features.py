"""Patching of transcoder features: a feature of the corrupted prompt gets the activation that it has on the clean one.

    MLP output += (activation on the clean prompt - activation now) decoder row

What the transcoder misses stays. "Now" is read from the patched pass, so that several features of several layers are
set together. Which features of a pair are tried is estimated first, by one gradient at the corrupted prompt:

    estimate = (activation clean - activation corrupted) decoder row . dm / d(MLP output)

[Nanda 2023, attribution patching; Marks et al. 2024, sparse feature circuits]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llm_codes.lenses.faithfulness.gates import FEATURES, Nodes, activations
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.patching.activations import logit_difference
from llm_codes.lenses.patching.pairs import Pair
from llm_codes.lenses.patching.rows import FeatureSets, PatchedFeature
from llm_codes.models import Model
from llm_codes.sites import resolve_site

Places = Int[Tensor, "feature 3"]
"""Layer, position and number of features."""


def feature_changes(
    model: Model, transcoders: Sequence[LayerTranscoder], pair: Pair
) -> tuple[Float[Tensor, "layer position feature"], Float[Tensor, "layer position feature"]]:
    """Activations on the clean prompt, and on the corrupted one; 0 at the first position, which has no features."""
    nodes = Nodes(FEATURES, tuple(transcoders))
    clean, corrupted = (activations(model, nodes, torch.tensor([one]))[:, 0] for one in (pair.clean, pair.corrupted))
    clean[:, 0] = corrupted[:, 0] = 0
    return clean, corrupted


def estimates(
    model: Model, transcoders: Sequence[LayerTranscoder], pair: Pair, change: Float[Tensor, "layer position feature"]
) -> Float[Tensor, "layer position feature"]:
    """How much each feature's change would move the logit difference, to first order."""
    outputs: dict[int, Tensor] = {}

    def keep(layer: int) -> Any:
        def noted(value: Tensor, hook: Any) -> Tensor:
            outputs[layer] = value if layer else value.detach().requires_grad_()
            return outputs[layer]

        return noted

    hooks = [(resolve_site(model, "mlp_out", layer).hook, keep(layer)) for layer in range(model.n_layers)]
    with torch.enable_grad():
        logits = model.logits(torch.tensor([pair.corrupted]), hooks)[0, -1]
        found = torch.autograd.grad(logit_difference(logits, pair), [outputs[n] for n in range(model.n_layers)])
    slopes = [torch.einsum("pd,fd->pf", slope[0], item.decoder) for slope, item in zip(found, transcoders, strict=True)]
    return change * torch.stack(slopes)


def strongest_changes(estimate: Float[Tensor, "layer position feature"], count: int) -> Places:
    """The features with the largest estimates, up to `count`, of those that change at all."""
    order = estimate.abs().flatten().topk(min(count, int((estimate != 0).sum()))).indices
    return torch.stack(torch.unravel_index(order, estimate.shape), 1)


@torch.no_grad()
def patched_features(
    model: Model,
    transcoders: Sequence[LayerTranscoder],
    tokens: Sequence[int],
    sets: Sequence[Places],
    values: Float[Tensor, "layer position feature"],
    batch_size: int = 32,
) -> Float[Tensor, "set vocabulary"]:
    """Logits at the last position, with every set of features at `values`."""
    parts = [
        _patched(model, transcoders, tokens, sets[start : start + batch_size], values)
        for start in range(0, len(sets), batch_size)
    ]
    return torch.cat(parts)


def _patched(
    model: Model, transcoders: Sequence[LayerTranscoder], tokens: Sequence[int], sets: Sequence[Places], values: Tensor
) -> Tensor:
    rows = torch.cat([torch.full((len(one), 1), number) for number, one in enumerate(sets)])
    places = torch.cat([rows, torch.cat(list(sets))], 1)  # row, layer, position, feature
    entering: dict[int, Tensor] = {}
    hooks: list[Any] = []
    for layer in places[:, 1].unique().tolist():
        own = places[places[:, 1] == layer]
        transcoder = transcoders[layer]
        into, out = (resolve_site(model, kind, layer).hook for kind in ("mlp_in", "mlp_out"))

        def write(
            value: Tensor, hook: Any, layer: int = layer, own: Tensor = own, transcoder: LayerTranscoder = transcoder
        ) -> Tensor:
            row, position, feature = own[:, 0], own[:, 2], own[:, 3]
            now = transcoder.active(entering[layer].flatten(0, 1)).view(*entering[layer].shape[:2], -1)
            change = values[layer, position, feature] - now[row, position, feature]
            return value.index_put((row, position), change[:, None] * transcoder.decoder[feature], accumulate=True)

        hooks.append((into, lambda value, hook, layer=layer: entering.__setitem__(layer, value)))
        hooks.append((out, write))
    return model.logits(torch.tensor([list(tokens)] * len(sets)), hooks)[:, -1]


def features_of_pair(
    model: Model,
    transcoders: Sequence[LayerTranscoder],
    pair: Pair,
    ends: tuple[float, float],
    count: int,
    number: int,
    seed: int,
    batch_size: int,
) -> tuple[tuple[PatchedFeature, ...], FeatureSets]:
    """The features of a pair with the largest estimates, one by one and together, and what they are compared with.

    ends: logit differences of the clean and the corrupted prompt. count: features; number: of the pair.
    """
    clean, corrupted = feature_changes(model, transcoders, pair)
    change = clean - corrupted
    estimate = estimates(model, transcoders, pair, change)
    best, changed = strongest_changes(estimate, count), change.nonzero()
    generator = torch.Generator().manual_seed(seed + number)
    drawn = changed[torch.randperm(len(changed), generator=generator)[: len(best)].to(changed.device)]
    sets = [*best[:, None], best, drawn, changed]
    logits = patched_features(model, transcoders, pair.corrupted, sets, clean, batch_size)
    size = ends[0] - ends[1]
    shares: list[float] = ((logit_difference(logits, pair).double() - ends[1]) / size).tolist()
    words = model.token_strings(pair.clean)

    def row(place: Tensor, restored: float) -> PatchedFeature:
        layer, position, feature = place.tolist()
        on, off, slope = (float(one[layer, position, feature]) for one in (clean, corrupted, estimate / size))
        return PatchedFeature(number, layer, position, words[position], feature, on, off, slope, restored)

    rows = tuple(row(place, share) for place, share in zip(best, shares, strict=False))
    together, random, everything = shares[len(best) :]
    return rows, FeatureSets(len(changed), together, random, everything)
