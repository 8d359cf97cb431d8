"""Small networks trained with early stopping on their own validation part, for critics and decoders.

Axis glossary: ``sample`` independent draws.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor], Tensor]
"""Sample indices -> loss, differentiable in the module's parameters."""


def perceptron(inputs: int, outputs: int, *, hidden: int, layers: int, generator: torch.Generator) -> nn.Sequential:
    """ReLU layers and a linear read-out, initialised from ``generator`` alone."""
    widths = [inputs] + [hidden] * layers + [outputs]
    modules: list[nn.Module] = []
    for index, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        linear = nn.Linear(before, after)
        bound = before**-0.5
        with torch.no_grad():
            linear.weight.uniform_(-bound, bound, generator=generator)
            linear.bias.uniform_(-bound, bound, generator=generator)
        modules += [linear, nn.ReLU()] if index < layers else [linear]
    return nn.Sequential(*modules)


def fit(
    module: nn.Module,
    loss: Loss,
    n_samples: int,
    *,
    generator: torch.Generator,
    steps: int,
    batch: int,
    learning_rate: float,
    validation_share: float = 0.2,
    check_every: int = 100,
) -> float:
    """Adam on random batches; leaves ``module`` at its best validation loss and returns that loss.

    Early stopping is what keeps a critic of independent variables at zero instead of memorising its pairs.
    """
    order = torch.randperm(n_samples, generator=generator)
    held = order[: max(1, int(validation_share * n_samples))]
    kept = order[len(held) :]
    optimiser = torch.optim.Adam(module.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    best, state = float("inf"), copy.deepcopy(module.state_dict())
    for step in range(steps + 1):
        if step % check_every == 0 or step == steps:
            with torch.no_grad():
                value = float(loss(held))
            if value < best:
                best, state = value, copy.deepcopy(module.state_dict())
        if step == steps:
            break
        chosen = kept[torch.randint(len(kept), (min(batch, len(kept)),), generator=generator)]
        optimiser.zero_grad()
        loss(chosen).backward()
        optimiser.step()
        schedule.step()
    module.load_state_dict(state)
    return best
