"""Information from a trained critic T(x, y): MINE, SMILE and InfoNCE. All values in nats.

Axis glossary: ``sample`` independent draws, ``dimension`` of x or y, ``other`` samples paired at random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eval.measures.information.networks import fit, perceptron

SMILE_CLIP = 5.0


@dataclass(frozen=True)
class NetworkOptions:
    """Size and training of a critic or decoder."""

    hidden: int = 64
    layers: int = 2
    steps: int = 2000
    batch: int = 256
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class Pointwise:
    """An estimate as a mean over held-out samples, with its standard error."""

    value: float
    standard_error: float

    @classmethod
    def mean_of(cls, values: Float[Tensor, " sample"]) -> Pointwise:
        values = values.double()
        return cls(float(values.mean()), float(values.std() / math.sqrt(len(values))))


def donsker_varadhan(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], options: NetworkOptions, seed: int, *, clip: float | None
) -> Pointwise:
    """``E T(x, y) - log E exp T(x, y')``, y' shuffled [Belghazi 2018]; ``clip`` bounds T in the second term [SMILE].

    MINE trains the critic on this bound itself. SMILE trains it to tell pairs from shuffled pairs (Jensen-Shannon,
    whose optimum is the log density ratio), as its authors do: ascending a clipped bound has no optimum. The critic is
    trained on ``train`` and evaluated on ``test`` with every pair of 8 cyclic shifts as y'.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = train
    critic = perceptron(x.shape[1] + y.shape[1], 1, hidden=options.hidden, layers=options.layers, generator=generator)

    def objective(chosen: Tensor) -> Tensor:
        shuffled = chosen[torch.randperm(len(chosen), generator=generator)]
        joint, product = _scores(critic, x, y, chosen, chosen), _scores(critic, x, y, chosen, shuffled)
        if clip is not None:
            return nn.functional.softplus(-joint).mean() + nn.functional.softplus(product).mean()
        return torch.logsumexp(product, 0) - math.log(len(chosen)) - joint.mean()

    _fit(critic, objective, len(x), options, generator)
    with torch.no_grad():
        return _evaluate(critic, *test, clip=clip)


def _fit(module: nn.Module, objective, n_samples: int, options: NetworkOptions, generator: torch.Generator) -> None:
    fit(
        module,
        objective,
        n_samples,
        generator=generator,
        steps=options.steps,
        batch=options.batch,
        learning_rate=options.learning_rate,
    )


def _scores(critic: nn.Module, x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Float[Tensor, " sample"]:
    return critic(torch.cat([x[first], y[second]], 1))[:, 0]


def _evaluate(critic: nn.Module, x: Tensor, y: Tensor, *, clip: float | None, shifts: int = 8) -> Pointwise:
    """Held-out value, its error by the delta method."""
    every = torch.arange(len(x))
    joint = _scores(critic, x, y, every, every).double()
    products = []
    for shift in range(1, min(shifts, len(x) - 1) + 1):
        score = _scores(critic, x, y, every, every.roll(shift)).double()
        products.append(score if clip is None else score.clamp(-clip, clip))
    stacked = torch.stack(products)  # [shift sample]
    partition = torch.logsumexp(stacked.flatten(), 0) - math.log(stacked.numel())
    weight = torch.exp(stacked - partition).mean(0)
    variance = (joint - weight).var() / len(x)  # d(log mean exp) of sample i is its weight
    return Pointwise(float(joint.mean() - partition), float(variance.sqrt()))


def infonce(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], options: NetworkOptions, seed: int, *, batch: int = 256
) -> Pointwise:
    """``log B + E log softmax over the batch of f(x).g(y)`` at the true partner [van den Oord 2018]; at most log B."""
    generator = torch.Generator().manual_seed(seed)
    x, y = train
    sizes = {"hidden": options.hidden, "layers": options.layers, "generator": generator}
    towers = nn.ModuleList([perceptron(x.shape[1], 32, **sizes), perceptron(y.shape[1], 32, **sizes)])

    def local(a: Tensor, b: Tensor) -> Float[Tensor, " sample"]:
        scores = towers[0](a) @ towers[1](b).T
        return scores.diagonal() - torch.logsumexp(scores, 1) + math.log(len(a))

    _fit(towers, lambda chosen: -local(x[chosen][:1024], y[chosen][:1024]).mean(), len(x), options, generator)
    with torch.no_grad():
        parts = [
            local(a, b)
            for a, b in zip(test[0].split(batch), test[1].split(batch), strict=True)
            if len(a) == batch or len(test[0]) < batch
        ]
    return Pointwise.mean_of(torch.cat(parts))
