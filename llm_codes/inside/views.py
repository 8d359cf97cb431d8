"""A hook point of many items per token, read and written as if it were a site: all items side by side, or one of them.

`blocks.2.attn.hook_z#` is every head of the layer in one axis [batch, position, head * d_head], `...#3` is head 3 by
itself [batch, position, d_head]. What an intervention returns goes back to where it was read. Layouts, by hook point:

    heads     attn.hook_q, .hook_k, .hook_v, .hook_z    [batch, position, head, width]
    pattern   attn.hook_pattern                         [batch, head, query, key]; keys padded with 0 to the context
    router    mlp.gate, mlp.router                      [batch * position, expert], read only
    experts   mlp.experts                               [batch * position, width]
    state     hook_ssm_state                            [batch, channel, position, state] (Mamba), or
                                                        [batch, position, head, width, state] (Mamba 2)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError

MARK = "#"
PATTERN, STATE = "hook_pattern", "hook_ssm_state"
ROUTERS, EXPERTS = ("mlp.gate.hook_out", "mlp.router.hook_out"), "mlp.experts.hook_out"
Function = Callable[[Tensor, Any], Tensor | None]


@dataclass(frozen=True)
class Text:
    """The shape of what a model reads: texts, tokens of each, and the most that it could read."""

    batch: int
    positions: int
    context: int


def base_of(name: str) -> str:
    """The hook point behind a name."""
    return name.partition(MARK)[0]


def spread(activation: Tensor, base: str, text: Text) -> Tensor:
    """What a hook point sees as [batch, position, item, width]."""
    if base.endswith(PATTERN):
        keys = text.context - activation.shape[-1]
        return torch.nn.functional.pad(activation.transpose(1, 2), (0, keys))
    if base.endswith(STATE):
        return activation.transpose(1, 2) if activation.ndim == 4 else activation.flatten(3)
    if base.endswith(ROUTERS):
        return activation.reshape(text.batch, text.positions, -1, 1)
    if base.endswith(EXPERTS):
        return activation.reshape(text.batch, text.positions, 1, -1)
    return activation


def gathered(items: Tensor, activation: Tensor, base: str) -> Tensor:
    """[batch, position, item, width] once more in the shape that the hook point has."""
    if base.endswith(ROUTERS):
        raise UserError(
            "expected a site that the model reads back; got router, whose logits it has used already; write to mlp_out"
        )
    if base.endswith(PATTERN):
        return items[..., : activation.shape[-1]].transpose(1, 2)
    if base.endswith(STATE) and activation.ndim == 4:
        return items.transpose(1, 2)
    return items.reshape(activation.shape)


def viewed(name: str, function: Function, text: Text) -> tuple[str, Function]:
    """A hook on items as a hook on the hook point; any other hook as it is."""
    base, mark, number = name.partition(MARK)
    if not mark:
        return name, function

    def on_items(activation: Any, hook: Any) -> Tensor | None:
        activation = activation[0] if isinstance(activation, tuple) else activation  # a router's logits come first
        items = spread(activation, base, text)
        made = function(items[:, :, int(number)] if number else items.flatten(2), hook)
        if made is None:
            return None
        if not number:
            return gathered(made.view_as(items), activation, base)
        out = items.clone()
        out[:, :, int(number)] = made
        return gathered(out, activation, base)

    return base, on_items
