"""Before and during training: sizes that make sense, memory that is there, threads chosen on purpose, finite weights.

Axis glossary: ``model`` independent toy models trained side by side, one per seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
import torch

from eval.errors import UserError

MEMORY_SHARE = 0.8
"""Refuse to start where the prediction exceeds this share of the available memory."""


@contextmanager
def limited_threads(count: int = 1) -> Iterator[None]:
    """Run small matrices on few threads: the default thread count makes a toy loop many times slower.

    One thread also makes the results independent of the machine's core count. The former count is restored.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_count(value: int, name: str, minimum: int = 1) -> int:
    """``value`` where it is a whole number >= ``minimum``, else one clear line."""
    if isinstance(value, bool) or value != int(value) or value < minimum:
        raise UserError(f"expected {name} a whole number >= {minimum}; got {value}; choose at least {minimum}")
    return int(value)


def check_share(value: float, name: str, *, open_top: bool = False) -> float:
    """``value`` where it is a probability, else one clear line."""
    inside = 0 <= value < 1 if open_top else 0 <= value <= 1
    if not inside:
        raise UserError(f"expected {name} in [0, 1{')' if open_top else ']'}; got {value:g}; give it as a share")
    return float(value)


def check_not_negative(value: float, name: str) -> float:
    """``value`` where it is finite and >= 0, else one clear line."""
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"expected {name} >= 0; got {value:g}; choose a finite, non-negative {name}")
    return float(value)


def check_memory(n_bytes: float, what: str, available: float | None = None) -> float:
    """Says before it starts when ``what`` needs more memory than is available; returns the prediction in bytes."""
    free = float(psutil.virtual_memory().available) if available is None else available
    if n_bytes > MEMORY_SHARE * free:
        raise UserError(
            f"expected {what} to fit into memory; it needs about {n_bytes / 2**30:.1f} GiB and "
            f"{free / 2**30:.1f} GiB are available; lower the number of features, hidden units or seeds"
        )
    return n_bytes


def check_finite(weights: torch.Tensor, seeds: Sequence[int], step: int) -> None:
    """Stops a training whose weights are no longer finite, naming the seeds.

    Args:
        weights: ``[model ...]``.
        seeds: one per model.
        step: where it was noticed.
    """
    finite = torch.isfinite(weights).flatten(1).all(1)
    if bool(finite.all()):
        return
    bad = [seed for seed, fine in zip(seeds, finite.tolist(), strict=True) if not fine]
    shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
    raise UserError(
        f"expected finite weights; got NaN or infinity at step {step} with seed {shown}; lower the learning rate"
    )


def seed_range(seed: int, count: int) -> tuple[int, ...]:
    """The seeds of ``count`` models: ``seed, seed + 1, ...``; each model depends on its own seed alone."""
    return tuple(range(seed, seed + check_count(count, "seeds")))
