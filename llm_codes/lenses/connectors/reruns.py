"""Run a model many times on one batch with one MLP branch replaced, and compute what lies below the branch once.

Rows of a scorecard differ only from one MLP on. In every run the blocks below it, the attention beside it and, unless
its input is replaced, the MLP itself get the same hidden states; they compute once per batch and hand back what they
returned. What a module kept is used only where the hidden states are bit for bit those it was computed from, so that
losses are those of full runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llm_codes.models import Model


class _Kept:
    """A module's `forward` that keeps the first result of a batch."""

    def __init__(self, module: Any) -> None:
        self.module, self.compute = module, module.forward
        self.forget()

    def forget(self) -> None:
        self.hidden: Tensor | None = None
        self.output: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs.get("hidden_states")
        if not isinstance(hidden, Tensor):
            return self.compute(*args, **kwargs)
        if self.hidden is None:
            self.hidden, self.output = hidden, self.compute(*args, **kwargs)
            return self.output
        return self.output if torch.equal(hidden, self.hidden) else self.compute(*args, **kwargs)


class ComputedOnce:
    """While open, the model computes everything up to `layer`'s MLP once per batch; `forget()` starts a batch.

    Hooks inside the parts that are not computed again do not fire again; those of the MLP's input and output do.
    """

    def __init__(self, model: Model, layer: int) -> None:
        blocks = model.bridge.blocks
        mlp = getattr(blocks[layer], "mlp", None)
        inner = [getattr(blocks[layer], "attn", None), getattr(mlp, "original_component", None)]
        self._modules = [*(blocks[i] for i in range(layer)), *(part for part in inner if part is not None)]
        self._kept: list[_Kept] = []

    def __enter__(self) -> ComputedOnce:
        self._kept = [_Kept(module) for module in self._modules]
        for kept in self._kept:
            kept.module.__dict__["forward"] = kept  # a bridge hands what is assigned on to the module inside it
        return self

    def forget(self) -> None:
        """The next run is on another batch."""
        for kept in self._kept:
            kept.forget()

    def __exit__(self, *error: object) -> None:
        for kept in self._kept:
            del kept.module.__dict__["forward"]
        self._kept = []
