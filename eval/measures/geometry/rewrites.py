"""Piecewise-linear operations written in terms of the few that the polytope measures know: ReLU, clamp, 2-d max-pool.

Each rewrite is exact and has one switch for each kink it stands for:

- PReLU(x) = w x + (1 - w) relu(x); RReLU in eval mode = LeakyReLU of the mean slope;
- max(a, b) = b + relu(a - b), min(a, b) = a - relu(a - b): the switch is on where a is larger;
- Hardsigmoid(x) = clamp(x + 3, 0, 6) / 6; Softshrink(x) = x - clamp(x, -lambda, lambda);
- a maximum over axes, an adaptive or a 3-d max-pool = one row of candidates per window, and a 1 x k max-pool of it. A
  window that hangs over the edge repeats its first candidate.

`tracing` hands the table to `make_fx`, which runs the rewrite where the operation stood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    return weight * x + (1 - weight) * x.relu()


def rrelu(x: Tensor, noise: Tensor, lower: Any = 1 / 8, upper: Any = 1 / 3, training: bool = False, *_: Any) -> Any:
    return NotImplemented if training else aten.leaky_relu.default(x, (lower + upper) / 2)


def hardsigmoid(x: Tensor) -> Tensor:
    return aten.hardtanh.default(x + 3, 0.0, 6.0) / 6


def softshrink(x: Tensor, level: Any = 0.5) -> Tensor:
    return x - aten.hardtanh.default(x, -level, level) if level > 0 else x.clone()


def maximum(a: Tensor, b: Tensor) -> Tensor:
    return b + (a - b).relu()


def minimum(a: Tensor, b: Tensor) -> Tensor:
    return a - (a - b).relu()


def clamp(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def _rows_maximum(rows: Tensor) -> Tensor:
    """Maximum over the last axis ``[... window candidate] -> [... window]`` as a 1 x k max-pool."""
    k = rows.shape[-1]
    if k == 1:
        return rows.squeeze(-1)
    pooled = aten.max_pool2d_with_indices.default(rows.reshape(1, -1, k), [1, k], [1, k])[0]
    return pooled.reshape(rows.shape[:-1])


def amax(x: Tensor, dims: Sequence[int] = (), keepdim: bool = False) -> Tensor:
    axes = sorted(d % x.dim() for d in dims) or list(range(x.dim()))
    rest = [d for d in range(x.dim()) if d not in axes]
    rows = x.permute(*rest, *axes).reshape(*(x.shape[d] for d in rest), -1)
    shape = [1 if d in axes else x.shape[d] for d in range(x.dim())] if keepdim else [x.shape[d] for d in rest]
    return _rows_maximum(rows).reshape(shape)


def amin(x: Tensor, dims: Sequence[int] = (), keepdim: bool = False) -> Tensor:
    return -amax(-x, dims, keepdim)


def _pick(x: Tensor, places: Tensor, n_axes: int, out: Sequence[int]) -> Tensor:
    """Window maxima ``[... out...]`` by flat places ``[window candidate]`` (-1 for beyond the edge)."""
    first = places.gather(1, (places >= 0).to(torch.int64).argmax(1, keepdim=True))
    index = torch.where(places >= 0, places, first)
    rows = x.flatten(-n_axes).index_select(-1, index.flatten().to(x.device))
    rows = rows.reshape(*x.shape[:-n_axes], *index.shape)
    return _rows_maximum(rows).reshape(*x.shape[:-n_axes], *out)


def _grid(lines: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Flat positions ``[window candidate]`` from one line of positions ``[window candidate]`` per axis; -1 outside."""
    flat, inside = torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool)
    for line, length in zip(lines, size, strict=True):
        ok = (line >= 0) & (line < length)
        flat = (flat[:, None, :, None] * length + line[None, :, None, :]).flatten(2).flatten(0, 1)
        inside = (inside[:, None, :, None] & ok[None, :, None, :]).flatten(2).flatten(0, 1)
    return torch.where(inside, flat, -1)


def adaptive_max_pool(n_axes: int) -> Callable[..., tuple[Tensor, Tensor]]:
    def call(x: Tensor, out: Sequence[int]) -> tuple[Tensor, Tensor]:
        size, lines = x.shape[-n_axes:], []
        for length, count in zip(size, out, strict=True):
            low = [i * length // count for i in range(count)]
            high = [math.ceil((i + 1) * length / count) for i in range(count)]
            widest = max(b - a for a, b in zip(low, high, strict=True))
            line = torch.tensor(low)[:, None] + torch.arange(widest)
            lines.append(torch.where(line < torch.tensor(high)[:, None], line, -1))
        return _pick(x, _grid(lines, size), n_axes, out), _no_indices(x, out, n_axes)

    return call


def max_pool3d(
    x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> tuple[Tensor, Tensor]:
    kernel, stride, padding, dilation = (_triple(v) for v in (kernel, stride or kernel, padding, dilation))
    size, lines, out = x.shape[-3:], [], []
    for axis in range(3):
        out.append(_pooled(size[axis], kernel[axis], stride[axis], padding[axis], dilation[axis], ceil_mode))
        start = torch.arange(out[axis]) * stride[axis] - padding[axis]
        lines.append(start[:, None] + torch.arange(kernel[axis]) * dilation[axis])
    return _pick(x, _grid(lines, size), 3, out), _no_indices(x, out, 3)


def _pooled(length: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Windows along one axis; with `ceil_mode` a last one that starts inside the padded input may hang over."""
    room = length + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= length + padding else count


def _triple(value: Any) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value) * (3 // len(value))


def _no_indices(x: Tensor, out: Sequence[int], n_axes: int) -> Tensor:
    """In place of the winners' places: depends on the input by an operation that is refused as soon as it is used."""
    return x.flatten(-n_axes).argmax(-1).reshape(*x.shape[:-n_axes], *[1] * n_axes).expand(*x.shape[:-n_axes], *out)


def max_over_axis(x: Tensor, axis: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return amax(x, [axis], keepdim), x.argmax(axis, keepdim)


def min_over_axis(x: Tensor, axis: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return amin(x, [axis], keepdim), x.argmin(axis, keepdim)


REWRITES: dict[Any, Callable[..., Any]] = {
    aten._prelu_kernel.default: prelu,
    aten.rrelu_with_noise.default: rrelu,
    aten.hardsigmoid.default: hardsigmoid,
    aten.softshrink.default: softshrink,
    aten.maximum.default: maximum,
    aten.fmax.default: maximum,
    aten.minimum.default: minimum,
    aten.fmin.default: minimum,
    aten.clamp.Tensor: clamp,
    aten.clamp_min.Tensor: maximum,
    aten.clamp_max.Tensor: minimum,
    aten.amax.default: amax,
    aten.amin.default: amin,
    aten.max.default: amax,
    aten.min.default: amin,
    aten.max.dim: max_over_axis,
    aten.min.dim: min_over_axis,
    aten.adaptive_max_pool2d.default: adaptive_max_pool(2),
    aten.adaptive_max_pool3d.default: adaptive_max_pool(3),
    aten.max_pool3d_with_indices.default: max_pool3d,
}
"""aten operation -> what it is; `NotImplemented` leaves the operation as it stands (and so to be refused by name)."""
