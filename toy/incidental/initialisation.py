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
    )
