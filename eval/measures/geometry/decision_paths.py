"""The way out of a class: a small step across the decision boundary, found on the local affine maps.

Axis glossary: ``point`` inputs, ``class`` outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from eval.errors import UserError

OVERSHOOT = 0.02


@dataclass(frozen=True)
class WaysOut:
    """points ``[point ...]``: each input after its steps; before, after ``[point]``: its class; steps ``[point]``."""

    points: Tensor
    before: Tensor
    after: Tensor
    steps: Tensor

    @property
    def found(self) -> Tensor:
        """Where the class did change, bool ``[point]``."""
        return self.before != self.after


def ways_out(
    network: Callable[[Tensor], Tensor], x: Tensor, *, most_steps: int = 50, overshoot: float = OVERSHOOT
) -> WaysOut:
    """Which small change of each input changes its class? DeepFool [Moosavi-Dezfooli, Fawzi & Frossard 2016].

    In its polytope the network is affine, ``f(y) = A y + b``, so the nearest point with another class for first is
    ``(f_c - f_k) / |a_c - a_k|^2 (a_k - a_c)`` away. The step goes there and a little beyond (`overshoot`, a share of
    it); where walls lay between, it is repeated from the new place. k is the runner-up at each step, not the nearest of
    all classes as in the paper: one backward pass a step whatever the number of classes.

    Args:
        network: ``[point ...] -> [point class]``, differentiable (a `Program`, or a module in eval mode).
        x: inputs; points that have changed class rest while the others go on.

    Raises `UserError` for fewer than two classes, for a step below 1, and for an overshoot that is not positive.
    """
    if most_steps < 1 or not overshoot > 0:
        raise UserError(f"expected at least 1 step and an overshoot above 0; got {most_steps} and {overshoot}")
    at = x.detach().clone()
    with torch.no_grad():
        before = network(at).argmax(1)
    after, steps = before.clone(), torch.zeros_like(before)
    for _ in range(most_steps):
        still = (after == before).nonzero()[:, 0]
        if not len(still):
            break
        at[still], moved = _step(network, at[still], before[still], overshoot)
        with torch.no_grad():
            after[still] = network(at[still]).argmax(1)
        steps[still] += moved
        if not bool(moved.any()):
            break
    return WaysOut(at, before, after, steps)


def _step(network: Callable[[Tensor], Tensor], points: Tensor, own: Tensor, overshoot: float) -> tuple[Tensor, Tensor]:
    """Each point after one step, and whether it moved (a map that ignores its input leads nowhere)."""
    leaf = points.detach().requires_grad_()
    with torch.enable_grad():
        values = network(leaf)
        if values.dim() != 2 or values.shape[1] < 2:
            raise UserError(f"expected values [point, class] of two classes or more; got {list(values.shape)}")
        rivals = values.detach().scatter(1, own[:, None], -torch.inf).argmax(1)
        gap = values.gather(1, own[:, None])[:, 0] - values.gather(1, rivals[:, None])[:, 0]
        slope = torch.autograd.grad(gap.sum(), leaf)[0]
    size = slope.flatten(1).square().sum(1)
    length = torch.where(size > 0, (gap.detach().clamp(min=0) + 1e-6 * values.detach().abs().amax(1)) / size, 0.0)
    step = (1 + overshoot) * length.reshape(-1, *[1] * (points.dim() - 1)) * slope
    return points - step, (size > 0).long()
