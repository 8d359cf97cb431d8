"""Training with early stopping: when it looks at the held-out part, which state it keeps, how layers start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from eval.measures.information.networks import fit, perceptron


class Watched:
    """A loss that is the mean of `weight * sign` of its samples and notes who asked for it."""

    def __init__(self, module: nn.Linear, sign: float) -> None:
        self.module, self.sign = module, sign
        self.held: list[tuple[torch.Tensor, float]] = []
        self.trained: list[torch.Tensor] = []

    def __call__(self, chosen: torch.Tensor) -> torch.Tensor:
        training = torch.is_grad_enabled()
        value = self.module.weight.sum() * (1.0 if training else self.sign)
        if training:
            self.trained.append(chosen)
        else:
            self.held.append((chosen, float(value)))
        return value


def run(steps: int, sign: float = 1.0, **more) -> tuple[Watched, float]:
    loss = Watched(nn.Linear(1, 1, bias=False), sign)
    generator = torch.Generator().manual_seed(3)
    best = fit(loss.module, loss, 50, generator=generator, steps=steps, batch=16, learning_rate=0.1, **more)
    return loss, best


@pytest.mark.parametrize(("steps", "more", "looks"), [(250, {}, 4), (200, {}, 3), (7, {"check_every": 3}, 4)])
def test_the_held_out_part_is_looked_at_first_then_every_so_often_and_last(steps: int, more: dict, looks: int):
    loss, _ = run(steps, **more)
    assert len(loss.held) == looks and len(loss.trained) == steps


def test_a_fifth_is_held_out_and_never_trained_on():
    loss, _ = run(40)
    held = set(loss.held[0][0].tolist())
    trained = {int(i) for chosen in loss.trained for i in chosen}
    assert len(held) == 10 and not held & trained and trained == set(range(50)) - held
    assert all(len(chosen) == 16 for chosen in loss.trained)
    few, _ = run(1, validation_share=0.9)
    assert len(few.trained[0]) == 5  # a batch is no larger than what is left to train on


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_best_held_out_state_is_kept(sign: float):
    """Training lowers the weight: the held-out loss falls with it (the last state is best) or rises (the first)."""
    loss, best = run(250, sign)
    values = [value for _, value in loss.held]
    assert best == min(values) == (values[-1] if sign > 0 else values[0])
    assert float(loss.module.weight.detach().sum()) * sign == pytest.approx(best)


def test_the_rate_falls_along_a_cosine_to_zero():
    """Adam moves a weight of constant gradient by its rate, so 40 steps move it by the sum of the rates."""
    loss, best = run(40)
    rates = sum(0.1 * (1 + math.cos(math.pi * step / 40)) / 2 for step in range(40))
    assert loss.held[0][1] - best == pytest.approx(rates, rel=1e-4)


def test_layers_start_uniform_within_one_over_the_root_of_their_inputs():
    network = perceptron(25, 3, hidden=100, layers=2, generator=torch.Generator().manual_seed(0))
    linear = [module for module in network if isinstance(module, nn.Linear)]
    assert [module.weight.shape for module in linear] == [(100, 25), (100, 100), (3, 100)]
    assert [type(module) for module in network] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    for module in linear:
        bound = module.in_features**-0.5
        assert 0.9 * bound < float(module.weight.detach().abs().max()) <= bound
        assert float(module.weight.detach().min()) < 0 and float(module.bias.detach().abs().max()) <= bound
    again = perceptron(25, 3, hidden=100, layers=2, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
