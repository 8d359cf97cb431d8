"""Winner-take-all: one feature's weights compete until one is left; the L1 norm decays as ``1/(1/sqrt(m) + lambda t)``.

Axis glossary: ``model`` one per seed, ``hidden`` the m weights of a single feature, ``time`` recorded times.

[IP] study one row without neighbours, ``w' = (1 - ||w||^2) w - lambda sign(w)``: a weight below
``theta = lambda / (1 - ||w||^2)`` is pushed to zero, the survivors share the norm, and theta rises. Their claim:
``||w(t)||_1 (1/sqrt(m) + lambda t)`` stays of order one ([.85, 1.5] for .003 <= lambda t <= 1, m >= 1e4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from toy.safeguards import check_count, check_memory, check_not_negative, limited_threads, seed_range

LAW_BAND = (0.85, 1.5)
"""Where [IP]'s ratio must stay for .003 <= lambda t <= 1 to count as of order one."""


@dataclass(frozen=True)
class RowDecay:
    """A single row's L1 norm over time, its number of surviving weights, and the ratio that should stay near one."""

    n_hidden: int
    l1: float
    scaled_time: Float[Tensor, " time"]
    """lambda t."""
    l1_norm: Float[Tensor, "time model"]
    survivors: Float[Tensor, "time model"]
    threshold: Float[Tensor, "time model"]

    @property
    def ratio(self) -> Float[Tensor, "time model"]:
        """``||w||_1 (1/sqrt(m) + lambda t)``."""
        return self.l1_norm * (self.n_hidden**-0.5 + self.scaled_time[:, None])

    def ratio_range(self, low: float = 0.003, high: float = 1.0) -> tuple[float, float]:
        """Smallest and largest ratio over all seeds for ``low <= lambda t <= high``."""
        inside = (self.scaled_time >= low) & (self.scaled_time <= high)
        return float(self.ratio[inside].min()), float(self.ratio[inside].max())


def check_row_fits(n_hidden: int, n_seeds: int) -> float:
    """Predicted peak memory in bytes of that many rows; refuses, before anything starts, what does not fit."""
    return check_memory(4 * 4 * n_hidden * n_seeds, f"{n_seeds} rows of {n_hidden} hidden units")


def row_decay(
    n_hidden: int = 10_000,
    *,
    l1: float = 1e-3,
    n_seeds: int = 8,
    seed: int = 0,
    initial_scale: float = 0.9,
    time_step: float = 0.1,
    scaled_end: float = 1.0,
    records: int = 120,
) -> RowDecay:
    """Integrate the single-row dynamics.

    Euler steps for the growth and a proximal (soft-threshold) step for the L1 term, so that a weight that reaches zero
    stays there instead of jittering around it.

    Args:
        n_hidden: m.
        l1: lambda > 0.
        initial_scale: initial standard deviation times sqrt(m).
        time_step: dt; halving it must not change the result (tested).
        scaled_end: last lambda t.
        records: number of recorded times, evenly spaced in log lambda t.
    """
    check_count(n_hidden, "m")
    check_not_negative(l1 - 1e-12, "lambda")
    check_row_fits(n_hidden, n_seeds)
    seeds = seed_range(seed, n_seeds)
    drawn = [torch.randn(n_hidden, generator=torch.Generator().manual_seed(s)) for s in seeds]
    weights = torch.stack(drawn) * initial_scale / n_hidden**0.5
    steps = round(scaled_end / (l1 * time_step))
    wanted = torch.logspace(-3, 0, records, dtype=torch.float64) * steps
    wanted = {0, *wanted.round().long().clamp(1, steps).tolist()}
    times, norms, survivors, thresholds = [], [], [], []
    with limited_threads(1):
        for step in range(steps + 1):
            room = 1 - weights.square().sum(1, keepdim=True)
            if step in wanted:
                times.append(step * time_step * l1)
                norms.append(weights.abs().sum(1))
                survivors.append((weights != 0).sum(1).float())
                thresholds.append(l1 / room[:, 0])
            weights = torch.nn.functional.softshrink(weights * (1 + time_step * room), l1 * time_step)
    return RowDecay(
        n_hidden, l1, torch.tensor(times), torch.stack(norms), torch.stack(survivors), torch.stack(thresholds)
    )
