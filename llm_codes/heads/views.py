"""A hook point with one row per head, read and written as if it were a site: all heads side by side, or one of them.

`blocks.2.attn.hook_z#` is every head of the layer in one axis [batch, position, head * d_head], `...#3` is head 3 by
itself [batch, position, d_head]. What an intervention returns goes back to where it was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

MARK = "#"
Function = Callable[[Tensor, Any], Tensor | None]


def base_of(name: str) -> str:
    """The hook point behind a name."""
    return name.partition(MARK)[0]


def viewed(name: str, function: Function) -> tuple[str, Function]:
    """A hook on heads as a hook on the hook point; any other hook as it is."""
    base, mark, head = name.partition(MARK)
    if not mark:
        return name, function

    def on_heads(activation: Tensor, hook: Any) -> Tensor | None:
        made = function(activation[:, :, int(head)] if head else activation.flatten(2), hook)
        if made is None:
            return None
        if not head:
            return made.view_as(activation)
        out = activation.clone()
        out[:, :, int(head)] = made
        return out

    return base, on_heads
