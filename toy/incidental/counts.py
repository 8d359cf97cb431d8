"""How many neurons are polysemantic by accident, and what does chance predict?

Axis glossary: ``model`` one per seed, ``feature`` rows of W, ``hidden`` neurons (columns of W), ``size`` (n, m) pairs.

Each feature lands on one neuron with one sign, uniformly. Two features of the same sign cannot share a neuron (their
outputs would interfere), two of opposite sign can (the ReLU removes the interference). So the expected number of
polysemantic neurons is the number of neurons holding both signs, ``m [1 - 2 (1 - 1/2m)^n + (1 - 1/m)^n]``: the
occupancy law. [IP] print its leading order, ``n^2 / 4m``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.experiment import mean_score, standard_error
from toy.incidental.results import PolysemanticCount
from toy.incidental.training import IncidentalModels, IncidentalSetting, train
from toy.safeguards import check_count

NEAR_ONE = (0.8, 1.2)
CONVERGED = 0.5


def occupancy_law(n_features: int, n_hidden: int) -> float:
    """Expected polysemantic neurons when n features fall on m neurons with random signs.

    ``m [1 - 2 (1 - 1/2m)^n + (1 - 1/m)^n]``; 0 for one feature, at most m.
    """
    n, m = check_count(n_features, "n"), check_count(n_hidden, "m")
    return m * (1 - 2 * (1 - 1 / (2 * m)) ** n + (1 - 1 / m) ** n)


def leading_order(n_features: int, n_hidden: int) -> float:
    """``n^2 / 4m``, as [IP] print it: above the occupancy law unless n << m."""
    return check_count(n_features, "n") ** 2 / (4 * check_count(n_hidden, "m"))


def polysemantic_count(weights: Float[Tensor, "model feature hidden"]) -> Int[Tensor, " model"]:
    """Neurons with at least two weights of magnitude in [.8, 1.2]."""
    return (near_one(weights).sum(1) >= 2).sum(1)


def near_one(weights: Float[Tensor, "model feature hidden"]) -> Bool[Tensor, "model feature hidden"]:
    """Weights of magnitude in [.8, 1.2]."""
    return (weights.abs() >= NEAR_ONE[0]) & (weights.abs() <= NEAR_ONE[1])


def same_sign_count(weights: Float[Tensor, "model feature hidden"]) -> int:
    """Neurons of all models that hold two weights near one of the same sign: what the loss forbids, since each of two
    such features would answer for the other."""
    large = near_one(weights)
    return int((((large & (weights > 0)).sum(1) >= 2) | ((large & (weights < 0)).sum(1) >= 2)).sum())


def with_random_signs(weights: Float[Tensor, "model feature hidden"]) -> Float[Tensor, "model feature hidden"]:
    """The same magnitudes, each with a sign drawn at random."""
    drawn = torch.rand(weights.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    return torch.where(drawn, weights, -weights)


def converged_share(weights: Float[Tensor, "model feature hidden"]) -> float:
    """The convergence gate: share of features with exactly one weight of magnitude above .5, in [0, 1]."""
    return float(((weights.abs() > CONVERGED).sum(2) == 1).double().mean())


def count(models: IncidentalModels) -> PolysemanticCount:
    """Count the polysemantic neurons of trained models."""
    counts = polysemantic_count(models.final).double().tolist()
    n, m = models.setting.n_features, models.setting.n_hidden
    return PolysemanticCount(
        n,
        m,
        len(models.seeds),
        mean_score(counts),
        standard_error(counts),
        occupancy_law(n, m),
        leading_order(n, m),
        converged_share(models.final),
        untrained=mean_score(polysemantic_count(models.initial).double().tolist()),
        shared=int(sum(counts)),
        same_sign=same_sign_count(models.final),
        same_sign_by_chance=same_sign_count(with_random_signs(models.final)),
    )


def count_sizes(
    sizes: Sequence[tuple[int, int]], seeds: int = 64, *, seed: int = 0, **setting: float | int | str
) -> list[PolysemanticCount]:
    """Train and count at every (n, m); further settings as in `IncidentalSetting`."""
    results = []
    for n, m in sizes:
        chosen = IncidentalSetting(n_features=n, n_hidden=m, **setting)  # pyright: ignore[reportArgumentType]
        results.append(count(train(chosen, seeds, seed=seed)))
    return results
