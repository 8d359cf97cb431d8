"""Dimensions per feature, the share of a dimension each feature owns, and plateaus.

Axis glossary: ``model``, ``hidden`` m dimensions, ``feature`` n features, ``level`` sparsity levels in order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

REPRESENTED = 0.3
"""A feature counts as represented when ||W_i|| exceeds this."""


def dimensions_per_feature(weights: Float[Tensor, "model hidden feature"]) -> Float[Tensor, " model"]:
    """``D* = m / ||W||_F^2`` [TMS]: about 1 without superposition, at least about m/n."""
    return weights.shape[1] / weights.square().sum((1, 2))


def feature_dimensionality(weights: Float[Tensor, "model hidden feature"]) -> Float[Tensor, "model feature"]:
    """``D_i = ||W_i||^2 / sum_j (W_i_hat . W_j)^2`` [TMS]: 1 for a feature alone on a dimension, 1/2 in an antipodal
    pair, 2/5 in a pentagon. Range [0, 1]; 0 for a feature without weights. They sum to at most m."""
    norm = weights.norm(dim=1)  # [model feature]
    direction = weights / norm.clamp_min(1e-12)[:, None]
    shared = torch.bmm(direction.mT, weights).square().sum(2)
    return torch.where(norm > 1e-6, norm.square() / shared.clamp_min(1e-12), 0.0)


def represented(weights: Float[Tensor, "model hidden feature"]) -> Tensor:
    """Which features have a weight vector longer than `REPRESENTED`? ``[model feature]`` booleans."""
    return weights.norm(dim=1) > REPRESENTED


def plateau_slope(dimensions: Sequence[float], value: float, width: float = 0.1) -> float | None:
    """How flat is the curve at ``value``, relative to its mean slope?

    The smallest step of ``log D*`` between neighbouring levels that both lie within ``width`` of ``value``, over the
    mean step of the whole curve. 0 is a plateau, 1 a curve that ignores ``value``; `None` where no two neighbouring
    levels lie there, which is no plateau either.
    """
    logs = [math.log(d) for d in dimensions]
    mean_step = abs(logs[-1] - logs[0]) / (len(logs) - 1)
    near = [abs(d / value - 1) <= width for d in dimensions]
    steps = [
        abs(b - a) for a, b, one, two in zip(logs, logs[1:], near, near[1:], strict=False) if one and two
    ]  # [neighbouring levels near the value]
    return min(steps) / mean_step if steps and mean_step > 0 else None
