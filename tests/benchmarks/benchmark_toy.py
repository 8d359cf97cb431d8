"""Analytic batched training against a sequential autograd loop, side by side in one run on one thread."""

import time

import pytest
import torch

from toy.incidental.training import IncidentalSetting, initial_weights, loss, train
from toy.safeguards import limited_threads

BATCHED_STEPS, SEQUENTIAL_STEPS = 300, 100


def sequential_seconds_per_step(setting: IncidentalSetting) -> float:
    """One model trained the usual way: autograd and torch's AdamW; CPU seconds per step."""
    weights = torch.nn.Parameter(initial_weights(setting, [0])[0])
    optimiser = torch.optim.AdamW([weights], lr=setting.learning_rate, weight_decay=setting.weight_decay)
    for step in range(SEQUENTIAL_STEPS + 10):
        if step == 10:
            start = time.process_time()
        optimiser.zero_grad()
        loss(weights[None], setting.l1).sum().backward()
        optimiser.step()
    return (time.process_time() - start) / SEQUENTIAL_STEPS


def batched_seconds_per_step(setting: IncidentalSetting, models: int) -> float:
    train(setting, 1)
    start = time.process_time()
    train(setting, models)
    return (time.process_time() - start) / setting.steps


@pytest.mark.benchmark
@pytest.mark.parametrize(("n", "m", "models", "least"), [(16, 32, 32, 50), (64, 128, 32, 5)])
def test_batched_training_is_faster_than_the_sequential_loop(n: int, m: int, models: int, least: float) -> None:
    setting = IncidentalSetting(n_features=n, n_hidden=m, steps=BATCHED_STEPS)
    with limited_threads(1):
        ratios = []
        for _ in range(3):
            sequential = models * sequential_seconds_per_step(setting)
            ratios.append(sequential / batched_seconds_per_step(setting, models))
    ratio = sorted(ratios)[1]
    print(f"\n({n}, {m}) x {models} models: {ratio:.0f}x (runs {', '.join(f'{r:.0f}' for r in ratios)})")
    assert ratio >= least
