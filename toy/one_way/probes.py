"""Networks that compute g^x mod p, and probes that look for x in their layers.

Axis glossary: ``triple`` (p, g, x), ``layer`` 0 is the first hidden layer and the last is the logits, ``budget`` probe
training steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from eval.measures.information.networks import perceptron
from toy.one_way.problem import Problem


def train_network(problem: Problem, *, width: int, layers: int, steps: int, seed: int) -> tuple[nn.Sequential, float]:
    """An MLP that maps one-hot (p, g, x) to y, on all triples; returns it with its accuracy."""
    inputs, values = problem.inputs, problem.values
    network = untrained_network(problem, width=width, layers=layers, seed=seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-4, fused=True)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(inputs), values).backward()
        optimiser.step()
    with torch.no_grad():
        return network, float((network(inputs).argmax(1) == values).float().mean())


def untrained_network(problem: Problem, *, width: int, layers: int, seed: int) -> nn.Sequential:
    """The network as it starts."""
    generator = torch.Generator().manual_seed(seed)
    return perceptron(problem.inputs.shape[1], problem.n_classes, hidden=width, layers=layers, generator=generator)


def layer_codes(network: nn.Sequential, inputs: Float[Tensor, "triple input"]) -> list[Float[Tensor, "triple width"]]:
    """Activations after every ReLU, then the logits."""
    codes, hidden = [], inputs
    with torch.no_grad():
        for module in network:
            hidden = module(hidden)
            if isinstance(module, nn.ReLU):
                codes.append(hidden)
    return [*codes, hidden]


def probe(
    codes: Float[Tensor, "triple width"],
    labels: Int[Tensor, " triple"],
    train: Int[Tensor, " chosen"],
    test: Int[Tensor, " held"],
    *,
    kind: str,
    budgets: Sequence[int],
    seed: int,
) -> list[float]:
    """Accuracy of a linear or MLP probe on ``test`` at every budget (training steps), from one training run."""
    scale = codes[train].std(0)
    standard = (codes - codes[train].mean(0)) / torch.where(scale > 1e-6, scale, 1.0)
    generator = torch.Generator().manual_seed(seed)
    layers = {"linear": 0, "mlp": 1}[kind]
    reader = perceptron(codes.shape[1], int(labels.max()) + 1, hidden=96, layers=layers, generator=generator)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=1e-2, weight_decay=1e-3, fused=True)
    accuracies = {}
    for step in range(1, max(budgets) + 1):
        optimiser.zero_grad()
        nn.functional.cross_entropy(reader(standard[train]), labels[train]).backward()
        optimiser.step()
        if step in budgets:
            with torch.no_grad():
                accuracies[step] = float((reader(standard[test]).argmax(1) == labels[test]).float().mean())
    return [accuracies[budget] for budget in budgets]
