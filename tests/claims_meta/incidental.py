"""Weights of which the statements on incidental polysemanticity are untrue, or true, in place of trained ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from eval.claims import Claim
from tests.claims_meta.rows import Material, Row
from toy.configs.incidental import IncidentalOptions
from toy.incidental import study
from toy.incidental.claims import judge
from toy.incidental.dynamics import RowDecay
from toy.incidental.noise import EXCESS_KURTOSIS
from toy.incidental.training import IncidentalModels, IncidentalSetting, initial_weights

OPTIONS = IncidentalOptions(
    sizes=("64x512", "64x128"), seeds=800, noise_seeds=8, row_hidden=400, row_seeds=60, sgd_seeds=12, movie_size="3x4"
)
Final = Callable[[Tensor, IncidentalSetting], Tensor]
"""Weights after training, ``[model feature hidden]``, of those before."""


def winners(initial: Tensor, setting: IncidentalSetting) -> Tensor:
    """Every feature ends on its initially largest weight; where two of one sign meet, one of them is held down."""
    if setting.noise != "none":
        return by_kurtosis(initial, setting)
    place = initial.abs().argmax(2)
    sign = initial.gather(2, place[..., None])[..., 0].sign()
    key = 2 * place + (sign > 0)
    met = torch.tril(key[:, :, None] == key[:, None, :], diagonal=-1).any(2)
    return torch.zeros_like(initial).scatter_(
        2, place[..., None], torch.where(met, 0.6, 1.0)[..., None] * sign[..., None]
    )


def by_kurtosis(initial: Tensor, setting: IncidentalSetting) -> Tensor:
    """Rows on one neuron, in no direction, or on all neurons alike, by the kurtosis of the noise."""
    kurtosis = EXCESS_KURTOSIS[setting.noise]
    rows = initial / initial.norm(dim=2, keepdim=True)
    if kurtosis == 0:
        return rows
    power = 4.0 if kurtosis < 0 else 0.2
    bent = rows.sign() * rows.abs() ** power
    return bent / bent.norm(dim=2, keepdim=True)


def among_weights(initial: Tensor, setting: IncidentalSetting) -> Tensor:
    """The weights of the winners, all of a model in another order; rows bent by any noise, whichever it was."""
    if setting.noise != "none":
        kinds = [by_kurtosis(initial, replace(setting, noise=noise)) for noise in ("rademacher", "gaussian", "laplace")]
        drawn = torch.randint(3, (len(initial),), generator=torch.Generator().manual_seed(len(setting.noise)))
        return torch.stack(kinds)[drawn, torch.arange(len(initial))]
    final = winners(initial, setting).flatten(1)
    order = torch.randperm(final.shape[1], generator=torch.Generator().manual_seed(1))
    return final[:, order].reshape(initial.shape)


def lawful(initial: Tensor, time: Tensor) -> Tensor:
    """L1 norms ``[time model]`` that decay as the law says."""
    scatter = 1 + 0.02 * torch.randn(len(initial), generator=torch.Generator().manual_seed(2))
    return scatter / (initial.shape[1] ** -0.5 + time[:, None])


def falling(setting: IncidentalSetting, time: Tensor | float) -> Tensor | float:
    """The L1 norm of a row after that time, as the law says."""
    return 1 / (setting.n_hidden**-0.5 + setting.l1 * time)


def falling_the_other_way(setting: IncidentalSetting, time: Tensor | float) -> Tensor | float:
    """As with the lambda at the other end."""
    return falling(replace(setting, l1=1e-6 / setting.l1), time)


def judged(
    final: Final,
    path: Callable[[Tensor, Tensor], Tensor],
    norm: Callable[[IncidentalSetting, Tensor], Tensor | float] = lambda setting, time: 1.0,
) -> list[Claim]:
    """The study with these weights, rows with these L1 norms, and models whose rows have that norm, in place of
    training."""

    def train(
        setting: IncidentalSetting,
        seeds: Sequence[int] | int = 64,
        *,
        seed: int = 0,
        snapshot_steps: Sequence[int] = (),
    ) -> IncidentalModels:
        chosen = tuple(range(seed, seed + seeds)) if isinstance(seeds, int) else tuple(seeds)
        initial = initial_weights(setting, chosen)
        ended = final(initial, setting)
        steps = tuple(sorted(set(snapshot_steps)))
        kept = torch.stack([initial if step == 0 else ended for step in steps]) if steps else torch.empty(0)
        if len(steps) == 2:  # the two times between which a decay is followed
            unit = initial / initial.abs().sum(2, keepdim=True)
            scatter = 1 + 0.01 * torch.arange(len(chosen))[:, None, None]
            kept = torch.stack([unit * norm(setting, step * setting.learning_rate * scatter) for step in steps])
        return IncidentalModels(setting, chosen, initial, ended, steps, kept)

    def row_decay(n_hidden: int, *, n_seeds: int, seed: int) -> RowDecay:
        time = torch.cat([torch.zeros(1), torch.logspace(-3, 0, 30)]).double()
        generator = torch.Generator().manual_seed(seed)
        initial = 0.9 * torch.randn(n_seeds, n_hidden, generator=generator) / n_hidden**0.5
        norms = path(initial, time)
        norms[0] = initial.abs().sum(1)
        alive = torch.full_like(norms, n_hidden)
        return RowDecay(n_hidden, 1e-3, time, norms, alive, torch.zeros_like(norms))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "train", train)
        patch.setattr(study, "row_decay", row_decay)
        return judge(study.measure(OPTIONS))


def as_started(initial: Tensor, time: Tensor) -> Tensor:
    return initial.abs().sum(1).double().expand(len(time), -1).clone()


def untrained(material: Material) -> list[Claim]:
    return judged(lambda initial, setting: initial.clone(), as_started)


def shuffled(material: Material) -> list[Claim]:
    """Weights among their places, and L1 norms among their times."""

    def any_time(initial: Tensor, time: Tensor) -> Tensor:
        found = lawful(initial, time)
        order = torch.rand(found.shape, generator=torch.Generator().manual_seed(3)).argsort(0)
        return found.gather(0, order)

    return judged(among_weights, any_time, falling_the_other_way)


def planted(material: Material) -> list[Claim]:
    return judged(winners, lawful, falling)


ROW = Row(
    {"untrained": untrained, "shuffled": shuffled, "planted": planted},
    unplanted={"(64, 128) number n^2/4m": "the printed law is the limit of few features, and 64 of 128 are many"},
)
