"""Which kinks does an aten operation have? The activations that `tracing` knows, and the windows of a max-pool."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from eval.measures.geometry.switches import Switch


def pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[-1])


def recognise_switch(operation: str, node: Node) -> Switch | None:
    """The kinks of an elementwise activation, `None` for anything else."""
    arguments: list[Any] = list(node.args[1:])
    if operation == "relu":
        return Switch((0.0,), (0.0, 1.0), (0.0, 0.0))
    if operation == "leaky_relu":
        return Switch((0.0,), (float(arguments[0]) if arguments else 0.01, 1.0), (0.0, 0.0))
    if operation == "abs":
        return Switch((0.0,), (-1.0, 1.0), (0.0, 0.0))
    if operation in ("hardtanh", "clamp", "clamp_min", "clamp_max", "relu6"):
        low, high = _bounds(operation, arguments, dict(node.kwargs))
        return _clamp(low, high)
    if operation == "threshold" and float(arguments[0]) == float(arguments[1]):
        return _clamp(float(arguments[0]), None)
    return None


def _bounds(operation: str, arguments: list[Any], options: dict[str, Any]) -> tuple[float | None, float | None]:
    if operation == "relu6":
        return 0.0, 6.0
    if operation == "hardtanh":
        low, high = (arguments + [-1.0, 1.0][len(arguments) :])[:2]
        return float(low), float(high)
    if operation == "clamp_min":
        return float(arguments[0]), None
    if operation == "clamp_max":
        return None, float(arguments[0])
    low = arguments[0] if arguments else options.get("min")
    high = arguments[1] if len(arguments) > 1 else options.get("max")
    if isinstance(low, Node) or isinstance(high, Node):
        return None, None
    return low, high


def _clamp(low: float | None, high: float | None) -> Switch | None:
    if low is not None and high is not None:
        return Switch((float(low), float(high)), (0.0, 1.0, 0.0), (float(low), 0.0, float(high)))
    if low is not None:
        return Switch((float(low),), (0.0, 1.0), (float(low), 0.0))
    if high is not None:
        return Switch((float(high),), (1.0, 0.0), (0.0, float(high)))
    return None


def window_places(
    size: tuple[int, ...],
    out: tuple[int, ...],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """Flat positions ``[window candidate]`` of each pool window in the (height, width) plane; -1 beyond the edge."""
    lines = []
    for axis in range(2):
        start = torch.arange(out[axis]) * stride[axis] - padding[axis]
        lines.append(start[:, None] + torch.arange(kernel[axis]) * dilation[axis])
    rows, columns = lines[0][:, None, :, None], lines[1][None, :, None, :]
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    flat = torch.where(inside, rows * size[1] + columns, torch.tensor(-1))
    return flat.reshape(out[0] * out[1], kernel[0] * kernel[1])
