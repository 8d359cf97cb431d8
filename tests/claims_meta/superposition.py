"""Weights of which the statements on superposition are untrue, or true, in place of trained ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from eval.claims import Claim
from eval.measures.information.capacity import compression_rate
from tests.claims_meta.rows import Material, Row
from toy.configs.superposition import SuperpositionOptions
from toy.superposition import phase, study
from toy.superposition.claims import judge
from toy.superposition.training import SuperpositionModels, SuperpositionSetting, initial_weights

OPTIONS = SuperpositionOptions(n_features=24, n_hidden=4, levels=10, seeds=5, phase_resolution=4, entropies=(24.0,))
Weights = Callable[[float, int, SuperpositionSetting], Tensor]
"""Weights ``[hidden feature]`` of one model by sparsity and seed."""


def judged(weights: Weights, steps: int | None = None) -> list[Claim]:
    """The study with these weights in place of training; steps: of the phase diagram's descent."""

    def train(setting: SuperpositionSetting, sparsities: Sequence[float], seeds: Sequence[int]) -> SuperpositionModels:
        owners = [(seed, sparsity) for seed in seeds for sparsity in sparsities]
        made = torch.stack([weights(sparsity, seed, setting) for seed, sparsity in owners])
        bias = torch.zeros(len(owners), setting.n_features)
        names = tuple(s for _, s in owners), tuple(s for s, _ in owners)
        return SuperpositionModels(setting, *names, made, bias)

    def diagram(importances: Tensor, active: Tensor, *, seed: int = 0) -> Tensor:
        more = {} if steps is None else {"steps": steps}
        return phase.phase_diagram(importances, active, seed=seed, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "train", train)
        patch.setattr(study, "phase_diagram", diagram)
        return judge(study.measure(OPTIONS))


def as_started(sparsity: float, seed: int, setting: SuperpositionSetting) -> Tensor:
    return initial_weights(setting.n_features, setting.n_hidden, [seed + 1000])[0]


def scaled(weights: Tensor, dimensions: float) -> Tensor:
    """The weights at ``m / ||W||^2`` = dimensions."""
    return weights * (len(weights) / dimensions / weights.square().sum()).sqrt()


def noisy(seed: int, size: float = 1e-3) -> float:
    """No two models are alike."""
    return 1 + size * float(torch.randn(1, generator=torch.Generator().manual_seed(seed)))


def pairs(n_pairs: int, setting: SuperpositionSetting) -> Tensor:
    """Antipodal pairs on the first dimensions, single features on the others."""
    m = setting.n_hidden
    weights = torch.zeros(m, setting.n_features)
    weights[torch.arange(m), torch.arange(m)] = 1
    weights[torch.arange(n_pairs), m + torch.arange(n_pairs)] = -1
    return weights


def sticky(sparsity: float, seed: int, setting: SuperpositionSetting) -> Tensor:
    """A curve that rests at 1 and at 1/2, where features are antipodal pairs, and falls between and after."""
    curve = {0: 1.0, 1: 0.998, 2: 0.74, 3: 0.505, 4: 0.503, 5: 0.501, 6: 0.36, 7: 0.28, 8: 0.2, 9: 0.18}
    at = min(range(OPTIONS.levels), key=lambda k: abs(1 - 20 ** (-k / (OPTIONS.levels - 1)) - sparsity))
    turn = torch.linalg.qr(
        torch.randn(setting.n_hidden, setting.n_hidden, generator=torch.Generator().manual_seed(seed))
    )
    weights = turn[0] @ pairs(setting.n_hidden if at >= 3 else 0, setting)
    return scaled(weights, curve[at] * noisy(seed))


def fitted(sparsity: float, seed: int, setting: SuperpositionSetting) -> Tensor:
    """Dimensions per feature just above the compression rate."""
    return scaled(as_started(sparsity, seed, setting), 1.04 * compression_rate(sparsity, 24.0) * noisy(seed))


def among_features(weights: Weights) -> Weights:
    """Each row of W shuffled over the features."""

    def made(sparsity: float, seed: int, setting: SuperpositionSetting) -> Tensor:
        found = weights(sparsity, seed, setting)
        order = torch.rand(found.shape, generator=torch.Generator().manual_seed(seed)).argsort(1)
        return found.gather(1, order)

    return made


def untrained(material: Material) -> list[Claim]:
    return judged(as_started, steps=1)


def shuffled(material: Material) -> list[Claim]:
    return judged(among_features(as_started), steps=1)


def planted(material: Material) -> list[Claim]:
    return [*judged(sticky), *judged(fitted)]


ROW = Row({"untrained": untrained, "shuffled": shuffled, "planted": planted})
