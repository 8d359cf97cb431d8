"""Muon: momentum whose matrix updates are orthogonalised before they are applied.

Equation, for a weight matrix W with gradient G and learning rate eta:

    M <- mu M + G;   O = orthogonal factor of (G + mu M);   W <- (1 - eta lambda) W - eta sqrt(max(1, out/in)) O

The orthogonal factor U V^T of U S V^T is approached by five quintic Newton-Schulz steps (singular values end in about
[0.7, 1.2], which is all the method needs).

Reference: K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks", 2024. `torch.optim.Muon` is
the same method with its iteration fixed to bfloat16, which costs 50 times more than float32 on a CPU without bfloat16
arithmetic; this one iterates in the dtype of the weights, and treats the fused query-key-value matrix of GPT-2 as the
three matrices it is.

Axes: in, out = the two axes of a GPT-2 `Conv1D` weight (transposed with respect to `torch.nn.Linear`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonal_factor(matrices: Tensor, steps: int = 5) -> Tensor:
    """The orthogonal factor of each matrix of a stack, approximately.

    Args:
        matrices: [stack, rows, columns].
        steps: Newton-Schulz steps; five take singular values of 0.01..1 (of the Frobenius norm) near one.

    Returns:
        The same shape, with singular values in about [0.7, 1.2]; an all-zero matrix stays zero.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for the `Conv1D` matrices of a GPT-2. Everything else (embeddings, norms, biases) belongs to AdamW."""

    def __init__(
        self, parameters: Iterable[Tensor], learning_rate: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                momentum.mul_(group["momentum"]).add_(weight.grad)
                update = self._update(weight.grad.add(momentum, alpha=group["momentum"]))
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"])

    @staticmethod
    def _update(direction: Tensor) -> Tensor:
        """[in, out] to [in, out]; a fused [in, 3 in] matrix is three square ones."""
        n_in, n_out = direction.shape
        parts = 3 if n_out == 3 * n_in else 1
        stack = rearrange(direction, "input (part output) -> part input output", part=parts)
        scale = max(1.0, n_out / parts / n_in) ** 0.5
        return scale * rearrange(orthogonal_factor(stack), "part input output -> input (part output)")
