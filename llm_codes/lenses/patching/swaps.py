"""Forward passes of one prompt in which some activations are replaced, each row of a batch with its own.

Axes: row (one intervention), position, width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llm_codes.models import Model


@dataclass(frozen=True)
class Swap:
    """What a hook point has at some positions: values, in some of its columns."""

    hook: str
    positions: Int[Tensor, " position"]
    values: Float[Tensor, "position width"]
    columns: slice = field(default_factory=lambda: slice(None))


@dataclass(frozen=True)
class Recorded:
    """One run of the model: activations by hook name, and the logits of the last position."""

    activations: dict[str, Float[Tensor, "position width"]]
    logits: Float[Tensor, " vocabulary"]


@torch.no_grad()
def recorded(model: Model, tokens: Sequence[int], hooks: Sequence[str]) -> Recorded:
    """What hook points have on a prompt."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda value, hook: seen.__setitem__(name, value.detach()[0])

    logits = model.logits(torch.tensor([list(tokens)]), [(name, keep(name)) for name in dict.fromkeys(hooks)])
    return Recorded(seen, logits[0, -1])


@torch.no_grad()
def swapped_logits(
    model: Model, tokens: Sequence[int], rows: Sequence[Sequence[Swap]], batch_size: int = 32
) -> Float[Tensor, "row vocabulary"]:
    """Logits at the last position of one prompt, with the swaps of every row."""
    parts = [_swapped(model, tokens, rows[start : start + batch_size]) for start in range(0, len(rows), batch_size)]
    return torch.cat(parts)


def _swapped(model: Model, tokens: Sequence[int], rows: Sequence[Sequence[Swap]]) -> Tensor:
    by_hook: dict[str, list[tuple[int, Swap]]] = defaultdict(list)
    for number, swaps in enumerate(rows):
        for swap in swaps:
            by_hook[swap.hook].append((number, swap))

    def write(given: list[tuple[int, Swap]]) -> Any:
        def replaced(value: Tensor, hook: Any) -> Tensor:
            out = value.clone()
            for number, swap in given:
                own = out[number]
                own[swap.positions, swap.columns] = swap.values.to(out)
            return out

        return replaced

    hooks = [(name, write(given)) for name, given in by_hook.items()]
    return model.logits(torch.tensor([list(tokens)] * len(rows)), hooks)[:, -1]
