"""First look at the fitting documents: which features live, how far norms shrink, which features become targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.weights.paths import Targets, read_corpus
from llm_codes.models import Model

LEAST_TOKENS = 20  # a target must be on at as many positions of the fitting documents


@dataclass(frozen=True)
class Census:
    """Over the kept positions: how often each feature of each layer is on, and the mean of one over each norm's
    denominator, before attention and before the MLP, by layer."""

    counts: tuple[Float[Tensor, " feature"], ...]
    before_attention: Float[Tensor, " layer"]
    before_mlp: Float[Tensor, " layer"]
    n_tokens: int


def census(model: Model, corpus: Corpus, transcoders: Sequence[LayerTranscoder], walk: HarvestOptions) -> Census:
    """One pass over the fitting documents."""
    counts = [torch.zeros(item.n_features) for item in transcoders]
    inverse = torch.zeros(2, len(transcoders), dtype=torch.float64)
    n_tokens = 0
    for reading in read_corpus(model, corpus, transcoders, None, walk, label="features that live"):
        n_tokens += int(reading.keep.sum())
        for layer, (features, scales) in enumerate(zip(reading.features, reading.scales, strict=True)):
            counts[layer] += (features != 0).flatten(0, 1).sum(0).cpu()
            for side, scale in enumerate(scales):
                inverse[side, layer] += (1 / scale.double()).sum().cpu()
    if not n_tokens:
        raise UserError("expected text to fit weights on; got no token that counts; raise --fit-tokens")
    means = (inverse / n_tokens).float()
    return Census(tuple(counts), means[0], means[1], n_tokens)


def drawn_targets(found: Census, count: int, seed: int) -> Targets:
    """Targets drawn among the features that live often enough, as many of each layer but the lowest.

    Raises:
        UserError: no feature is on at enough positions.
    """
    generator = np.random.default_rng(seed)
    layers = range(1, len(found.counts))
    shares = np.array_split(np.arange(count), len(layers)) if len(layers) else []
    layer, feature = [], []
    for number, share in zip(layers, shares, strict=True):
        live = (found.counts[number] >= LEAST_TOKENS).nonzero().flatten().numpy()
        picked = np.sort(generator.permutation(live)[: len(share)])
        layer += [number] * len(picked)
        feature += picked.tolist()
    if not layer:
        raise UserError(
            f"expected features above the lowest layer that are on at {LEAST_TOKENS} positions or more of the fitting "
            f"documents; got none in {found.n_tokens:,} tokens; raise --fit-tokens"
        )
    return Targets(torch.tensor(layer), torch.tensor(feature))
