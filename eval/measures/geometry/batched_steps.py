"""One traced operation, made for one sample, as a function of constants and a batch of points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from eval.measures.geometry.piecewise_linear import Ref


def batched_step(node: Node, operation: str, sources: list[str], name_of: Callable[[Node], str]) -> Callable[..., Any]:
    """The step as a function of (constants, batched sources), vectorised over points.

    sources: the input-dependent values among the arguments, in order, with repeats; name_of: a node's value.
    """
    function: Any = node.target
    arguments, options = torch.fx.node.map_arg((node.args, dict(node.kwargs)), lambda n: Ref(name_of(n)))  # pyright: ignore
    if operation == "_to_copy":
        return lambda constants, value: value  # the program has one precision, chosen by the caller

    def one(weights: dict[str, Tensor], *inputs: Tensor) -> Any:
        queue = list(inputs)
        fill = lambda ref: weights[ref.name] if ref.name in weights else queue.pop(0)  # noqa: E731
        filled = _replace_refs(arguments, fill)
        return function(*filled, **{key: _replace_refs(v, fill) for key, v in options.items()})

    if operation in ("addmm", "mm") and isinstance(node.args[-2], Node) and name_of(node.args[-2]) == sources[0]:
        rows = shape_of(node.args[-2])[0]
        if rows == 1 and len(sources) == 1:  # a plain linear layer: no need to vectorise what is batched already
            return _linear(function, arguments, options) or (
                lambda weights, x: one(weights, x.flatten(0, 1)).unsqueeze(1)
            )
    if operation == "unsqueeze" and isinstance(node.args[1], int) and node.args[1] >= 0:
        axis = node.args[1] + 1
        return lambda constants, value: value.unsqueeze(axis)
    return lambda weights, *inputs: torch.vmap(lambda *values: one(weights, *values))(*inputs)  # pyright: ignore


def _linear(function: Any, arguments: Any, options: dict[str, Any]) -> Callable[..., Tensor] | None:
    """`mm(x, weight)` or `addmm(bias, x, weight)` without filling in arguments one by one at every call."""
    if options or not all(isinstance(argument, Ref) for argument in arguments):
        return None
    *first, _, weight = (argument.name for argument in arguments)

    def call(constants: dict[str, Tensor], x: Tensor) -> Tensor:
        bias = [constants[name] for name in first]
        return function(*bias, x.flatten(0, 1), constants[weight]).unsqueeze(1)

    return call


def nodes_in(value: Any) -> list[Node]:
    """The nodes of nested arguments, with repeats, in order."""
    if isinstance(value, Node):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [node for item in value for node in nodes_in(item)]
    return []


def _replace_refs(value: Any, fill: Callable[[Ref], Any]) -> Any:
    if isinstance(value, Ref):
        return fill(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_refs(item, fill) for item in value)
    return value


def shape_of(node: Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else ()
