"""Second moments of each target's candidates on the fitting documents, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.measures.connectors.pursuit import Moments
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.weights.paths import Columns, Targets, read_corpus
from llm_codes.models import Model


@dataclass(frozen=True)
class Fits:
    """Moments of candidates with the targets' pre-activations and activations, and the means of all three."""

    preactivation: Moments
    activation: Moments
    mean: Float[Tensor, "target input"]
    mean_preactivation: Float[Tensor, " target"]
    mean_activation: Float[Tensor, " target"]


@torch.no_grad()
def candidate_moments(
    model: Model,
    corpus: Corpus,
    transcoders: Sequence[LayerTranscoder],
    columns: Columns,
    targets: Targets,
    candidates: Int[Tensor, "target input"],
    walk: HarvestOptions,
) -> Fits:
    """Sums over the kept positions, in double precision, centred at the end."""
    size, n = candidates.shape, 0
    gram = torch.zeros(*size, size[1], dtype=torch.float64)
    total = torch.zeros(size, dtype=torch.float64)
    cross = torch.zeros(2, *size, dtype=torch.float64)
    sums, squares = torch.zeros(2, 2, size[0], dtype=torch.float64)
    for reading in read_corpus(model, corpus, transcoders, columns, walk, label="weights"):
        arrives = reading.gathered(candidates)
        wanted = torch.stack([reading.preactivations(transcoders, targets), reading.activations(targets)]).mT
        gram += arrives @ arrives.mT
        total += arrives.sum(2)
        cross += torch.einsum("tcn,rtn->rtc", arrives, wanted)
        sums += wanted.sum(2)
        squares += wanted.double().square().sum(2)
        n += arrives.shape[2]
    mean, own = total / n, sums / n
    gram = gram.div_(n).sub_(mean[:, :, None] * mean[:, None])
    both = [
        Moments(
            gram, cross[which] / n - mean * own[which][:, None], (squares[which] / n - own[which].square()).clamp(min=0)
        )
        for which in range(2)
    ]
    return Fits(both[0], both[1], mean, own[0], own[1])
