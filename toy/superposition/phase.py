"""The phase diagram of two features on one dimension, from the exact expected loss [TMS, phase change].

Axis glossary: ``cell`` (importance, sparsity) pairs times restarts, ``sample`` quadrature points.

Two features can be on alone, together, or not at all. Gauss-Legendre points on [0, 1] turn the expectation over their
values into a weighted sum, so there is no sampling noise: every cell is gradient descent on its exact loss. The best of
several starts stands for a cell.
"""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor

from toy.safeguards import check_memory
from toy.superposition.training import SuperpositionSetting, descend, gradient, initial_weights

RESTARTS = 6
ON = 0.3
"""A feature is on when its weight exceeds this."""
PHASES = ("neither feature", "first alone", "second alone", "both, in superposition")


def quadrature(points: int = 6) -> tuple[Float[Tensor, "sample 2"], Float[Tensor, "sample 3"]]:
    """Inputs and, per sample, its weight, how many features are on, and how many are off."""
    x, w = np.polynomial.legendre.leggauss(points)
    x, w = (x + 1) / 2, w / 2
    rows = [(0.0, 0.0, 1.0, 0, 2)]
    rows += [(a, 0.0, wa, 1, 1) for a, wa in zip(x, w, strict=True)]
    rows += [(0.0, a, wa, 1, 1) for a, wa in zip(x, w, strict=True)]
    rows += [(a, b, wa * wb, 2, 0) for a, wa in zip(x, w, strict=True) for b, wb in zip(x, w, strict=True)]
    table = torch.tensor(rows, dtype=torch.float32)
    return table[:, :2], table[:, 2:]


def check_diagram_fits(resolution: int, restarts: int = RESTARTS) -> float:
    """Predicted peak memory in bytes of a square diagram; refuses, before anything starts, what does not fit."""
    samples = len(quadrature()[0])
    return check_memory(
        4.0 * resolution**2 * restarts * samples * 20, f"a phase diagram of {resolution} x {resolution} cells"
    )


def phase_diagram(
    importances: Float[Tensor, " importance"],
    active: Float[Tensor, " active"],
    *,
    restarts: int = RESTARTS,
    steps: int = 2000,
    seed: int = 0,
) -> Float[Tensor, "importance active"]:
    """Which solution wins in each cell? An index into `PHASES`.

    Args:
        importances: of the second feature relative to the first, > 0.
        active: p = 1 - S, in (0, 1].
        restarts: starts per cell; the lowest loss counts.
    """
    inputs, samples = quadrature()
    grid_importance, grid_active = torch.meshgrid(importances, active, indexing="ij")
    p = grid_active.flatten().repeat_interleave(restarts)[:, None]
    probability = samples[:, 0] * p ** samples[:, 1] * (1 - p) ** samples[:, 2]  # [cell sample]
    both = torch.stack([torch.ones_like(grid_importance), grid_importance])
    importance = repeat(both, "feature importance active -> (importance active restart) feature", restart=restarts)
    # Every cell is scaled to a loss of order one, so that AdamW's epsilon plays no part in sparse cells.
    scale = (p[:, 0] * importance.sum(1))[:, None, None]
    weight = probability[:, :, None] * importance[:, None] / scale
    repeated = inputs.expand(len(p), -1, -1).contiguous()
    setting = SuperpositionSetting(n_features=2, n_hidden=1, steps=steps, learning_rate=1e-2, weight_decay=0.0)
    starts = initial_weights(2, 1, [seed * restarts + k for k in range(restarts)]).repeat(grid_active.numel(), 1, 1)
    weights, bias = descend(starts, setting, [seed] * len(p), lambda w, b: gradient(w, b, repeated, weight))
    output = torch.relu((repeated @ weights.mT) @ weights + bias[:, None])
    losses = reduce(weight * (output - repeated).square(), "(cell start) sample x -> cell start", "sum", start=restarts)
    ends = rearrange(weights, "(cell start) 1 feature -> cell start feature", start=restarts)
    best = ends[torch.arange(len(losses)), losses.argmin(1)]
    on = best.abs() > ON
    return (on[:, 0] + 2 * on[:, 1]).reshape(grid_active.shape)


def untrained_superposition(restarts: int = RESTARTS, *, seed: int = 0) -> float:
    """Share of a cell's starts that have both features on before any step, in [0, 1]: the diagram's control."""
    starts = initial_weights(2, 1, [seed * restarts + k for k in range(restarts)])
    return float((starts.abs() > ON).all(2).double().mean())
