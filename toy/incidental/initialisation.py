"""Does the initialisation decide which neuron a feature ends on?

Axis glossary: ``model`` one per seed, ``feature`` rows of W, ``hidden`` neurons.

[IP] show that ``W_0 W^T`` has a larger diagonal than off-diagonal: a feature's final code correlates with its own
initial weights. That is not the same as "the initially largest weight wins", which is reported beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class InitialisationResult:
    """Correlation of the final with the initial weights, and the winner's initial rank."""

    diagonal: float
    diagonal_standard_error: float
    off_diagonal: float
    off_diagonal_deviation: float
    kept: float
    """Share of features whose initially largest |w| is also the final one."""
    kept_standard_error: float
    chance: float
    """1/m."""
    winner_rank: float
    """Mean initial rank of the winner as a share of m: 0 was the largest, .5 is chance."""
    rank_histogram: tuple[float, ...]
    """Share of winners per initial rank 1, 2, ...; the first 20."""


def initialisation(
    initial: Float[Tensor, "model feature hidden"], final: Float[Tensor, "model feature hidden"]
) -> InitialisationResult:
    """Compare final with initial weights. Standard errors are over models, which are independent; features are not."""
    product = torch.einsum("bnm,bkm->bnk", initial, final)
    n, m = product.shape[1], initial.shape[2]
    diagonal = product.diagonal(dim1=1, dim2=2)
    off = product[:, ~torch.eye(n, dtype=torch.bool)]
    winner = final.abs().argmax(2, keepdim=True)
    at_winner = initial.abs().gather(2, winner)
    rank = (initial.abs() > at_winner).sum(2)
    kept = (rank == 0).double().mean(1)
    histogram = torch.bincount(rank.flatten(), minlength=20)[:20].double() / rank.numel()
    return InitialisationResult(
        float(diagonal.mean()),
        _standard_error(diagonal.mean(1)),
        float(off.mean()),
        float(off.std()),
        float(kept.mean()),
        _standard_error(kept),
        1 / m,
        float(rank.double().mean() / max(1, m - 1)),
        tuple(histogram.tolist()),
    )


def _standard_error(values: Float[Tensor, " model"]) -> float:
    """Of the mean; infinite for a single model, which says nothing about the spread."""
    return float(values.double().std() / math.sqrt(len(values))) if len(values) > 1 else math.inf
