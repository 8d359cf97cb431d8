"""Windows of two-dimensional planes in a network's input space.

Axis glossary: ``point`` a batch of inputs; the last axis of coordinates is (u, v).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError


@dataclass(frozen=True)
class Plane:
    """A window of a plane in input space: ``x(u, v) = origin + u first + v second`` with orthonormal directions.

    extent: (low u, high u, low v, high v), Euclidean units of the input.
    """

    origin: Tensor
    first: Tensor
    second: Tensor
    extent: tuple[float, float, float, float]

    def points(self, coordinates: Float[np.ndarray, "point 2"]) -> Tensor:
        """Inputs ``[point ...]`` (float64) at plane coordinates."""
        uv = torch.as_tensor(coordinates, dtype=torch.float64)
        shape = [-1] + [1] * self.origin.dim()
        return self.origin + uv[:, 0].reshape(shape) * self.first + uv[:, 1].reshape(shape) * self.second

    @property
    def area(self) -> float:
        low_u, high_u, low_v, high_v = self.extent
        return (high_u - low_u) * (high_v - low_v)

    def zoomed(self, factor: float, centre: tuple[float, float] | None = None) -> Plane:
        """The same plane, a window `factor` times as wide around `centre` (its own middle by default)."""
        low_u, high_u, low_v, high_v = self.extent
        u, v = centre or ((low_u + high_u) / 2, (low_v + high_v) / 2)
        half_u, half_v = factor * (high_u - low_u) / 2, factor * (high_v - low_v) / 2
        return Plane(self.origin, self.first, self.second, (u - half_u, u + half_u, v - half_v, v + half_v))


def plane_through(points: Sequence[Tensor] | Tensor, margin: float = 0.2) -> tuple[Plane, np.ndarray]:
    """The plane through three inputs, and their coordinates ``[3 2]``; the window holds them with a margin.

    Raises `UserError` for anything but three points, and for points on one line.
    """
    rows = [torch.as_tensor(point, dtype=torch.float64) for point in points]
    if len(rows) != 3:
        raise UserError(f"expected three points; got {len(rows)}; a plane needs exactly three")
    a, b = rows[1] - rows[0], rows[2] - rows[0]
    length = a.norm()
    first = a / length if length > 0 else a
    rest = b - (b * first).sum() * first
    scale = max(float(length), float(b.norm()))
    dtype = torch.as_tensor(points[0]).dtype
    rounding = 4 * torch.finfo(dtype if dtype.is_floating_point else torch.float64).eps
    if float(length) == 0 or float(rest.norm()) <= max(1e-9 * scale, rounding * max(float(row.norm()) for row in rows)):
        raise UserError("expected three points that span a plane; they lie on one line; choose another point")
    second = rest / rest.norm()
    corners = np.array([[0, 0], [float(length), 0], [float((b * first).sum()), float((b * second).sum())]])
    low, high = corners.min(0), corners.max(0)
    side = (high - low).max() * (1 + 2 * margin) / 2
    middle = (low + high) / 2
    extent = (middle[0] - side, middle[0] + side, middle[1] - side, middle[1] + side)
    return Plane(rows[0], first, second, tuple(float(x) for x in extent)), corners  # type: ignore[arg-type]


def plane_along(origin: Tensor, first: Tensor, second: Tensor, half_width: float) -> Plane:
    """A square window around one input, spanned by two directions (made orthonormal).

    Raises `UserError` for parallel or zero directions and a half width that is not positive.
    """
    if not half_width > 0:
        raise UserError(f"expected a positive half width; got {half_width}")
    plane, _ = plane_through([origin, origin + first, origin + second])
    half = float(half_width)
    return Plane(plane.origin, plane.first, plane.second, (-half, half, -half, half))
