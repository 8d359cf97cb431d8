"""Does the initialisation decide which neuron a feature ends on?

Axis glossary: ``model`` one per seed, ``feature`` rows of W, ``hidden`` neurons.

[IP] show that ``W_0 W^T`` has a larger diagonal than off-diagonal: a feature's final code correlates with its own
initial weights. That is not the same as "the initially largest weight wins", which is reported beside it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from eval.experiment import mean_score, standard_error
from eval.scores import Score
from toy.incidental.counts import converged_share
from toy.incidental.results import Initialisation


def initialisation(
    initial: Float[Tensor, "model feature hidden"], final: Float[Tensor, "model feature hidden"], optimiser: str
) -> Initialisation:
    """Compare final with initial weights. Standard errors are over models, which are independent; features are not."""
    product = torch.einsum("bnm,bkm->bnk", initial, final)
    n, m = product.shape[1], initial.shape[2]
    diagonal = product.diagonal(dim1=1, dim2=2).double().mean(1).tolist()  # [model]
    off = product[:, ~torch.eye(n, dtype=torch.bool)]
    winner = final.abs().argmax(2, keepdim=True)
    at_winner = initial.abs().gather(2, winner)
    rank = (initial.abs() > at_winner).sum(2)
    kept = (rank == 0).double().mean(1).tolist()  # [model]
    excess_other, kept_other = _of_another_model(initial, final)
    histogram = torch.bincount(rank.flatten(), minlength=20)[:20].double() / rank.numel()
    return Initialisation(
        optimiser,
        n,
        m,
        seeds=len(initial),
        diagonal=mean_score(diagonal),
        diagonal_standard_error=standard_error(diagonal),
        off_diagonal=float(off.mean()),
        off_diagonal_deviation=float(off.std()),
        kept=mean_score(kept),
        kept_standard_error=standard_error(kept),
        chance=1 / m,
        winner_rank=float(rank.double().mean() / max(1, m - 1)),
        rank_histogram=tuple(histogram.tolist()),
        excess=mean_score(_excess(product)),
        excess_other=excess_other,
        kept_other=kept_other,
        converged=converged_share(final),
    )


def _excess(product: Float[Tensor, "model feature feature"]) -> list[float]:
    """Mean of the diagonal less mean of the rest, model by model."""
    n = product.shape[1]
    diagonal = product.diagonal(dim1=1, dim2=2).double()
    rest = (product.double().sum((1, 2)) - diagonal.sum(1)) / (n * (n - 1))
    return (diagonal.mean(1) - rest).tolist()


def _of_another_model(
    initial: Float[Tensor, "model feature hidden"], final: Float[Tensor, "model feature hidden"]
) -> tuple[Score, Score]:
    """Both numbers where each model's final weights are held against the initial weights of the next model."""
    if len(initial) < 2:
        reason = "one model has no other to be held against"
        return Score.undefined(reason), Score.undefined(reason)
    other = initial.roll(1, 0)
    winner = final.abs().argmax(2, keepdim=True)
    first = (other.abs() > other.abs().gather(2, winner)).sum(2) == 0
    excess = _excess(torch.einsum("bnm,bkm->bnk", other, final))
    return mean_score(excess), mean_score(first.double().mean(1).tolist())
