"""Exact two-dimensional slices: the polytopes of a network in a plane through its input space, as polygons.

Axis glossary: ``region`` polygons, ``corner`` three points at which a region's affine function is stored, ``unit``.

Within a polygon every live value is affine in the two plane coordinates, so its values at three corner points say
everything, and an affine step of the network maps values at corners to values at corners. At a switch, each polygon is
cut by the lines on which a unit passes a threshold (or on which the winner of a max-pool window changes), and every
part continues with its own copy. Depth first in chunks, so memory stays bounded; a cap on the number of regions gives
a partial slice that says so. Areas add up to the window whatever happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry import polygon_kernels as kernels
from eval.measures.geometry.piecewise_linear import Program, Step, code_of

EPSILON = 1e-10
"""Slivers thinner than this share of the window are rounding, not polytopes."""
MAXIMUM_CHUNK = 512
"""Regions that descend together; small enough that a capped slice still reaches the output somewhere."""
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


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


@dataclass(frozen=True)
class Slice:
    """The polytopes in a window.

    vertices ``[vertex 2]`` and offsets ``[region + 1]``: polygons in plane coordinates; area, centroid.
    values ``[region output]``: the output (or its readout) at each centroid, from the region's own affine map;
    slopes ``[region output 2]``: that map's gradient in plane coordinates.
    resolved: False for regions that the cap left uncut. complete: all are resolved.
    boundaries: per site, the cuts made there as segments ``[cut 4]`` (u1, v1, u2, v2).
    """

    plane: Plane
    vertices: Float[np.ndarray, "vertex 2"]
    offsets: Int[np.ndarray, " region_and_one"]
    area: Float[np.ndarray, " region"]
    centroid: Float[np.ndarray, "region 2"]
    values: Float[np.ndarray, "region output"]
    slopes: Float[np.ndarray, "region output 2"]
    resolved: Bool[np.ndarray, " region"]
    boundaries: dict[str, Float[np.ndarray, "cut 4"]]

    @property
    def n_regions(self) -> int:
        return len(self.area)

    @property
    def complete(self) -> bool:
        return bool(self.resolved.all())

    @property
    def polygons(self) -> list[np.ndarray]:
        return [self.vertices[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]

    def centroid_codes(self, program: Program) -> Tensor:
        """The network's own code at every centroid, uint8 ``[region unit]``, in float64."""
        return code_of(program.to(torch.float64), self.plane.points(self.centroid))


@dataclass
class _Chunk:
    position: int
    live: dict[str, Tensor]
    vertices: np.ndarray
    offsets: np.ndarray


def plane_slice(
    program: Program,
    plane: Plane,
    *,
    max_regions: int = 100_000,
    memory_values: int = 2**25,
    epsilon: float = EPSILON,
    readout: Tensor | None = None,
) -> Slice:
    """Which polytopes does a window of a plane pass through? Exact, by cutting polygons layer by layer.

    Args:
        program: a piecewise-linear traced network or a tail of it (used in float64).
        plane: from `plane_through` (three inputs) or `plane_along` (a point and two directions).
        max_regions: cap; beyond it polygons stay uncut and `Slice.resolved` says which.
        memory_values: float64 values held for the widest step of one chunk.
        epsilon: slivers thinner than this share of the window are not cut.
        readout: ``[readout output]`` linear readout to keep instead of the whole output (a thousand logits a region).

    Returns:
        `Slice`; areas sum to the window's, the centroid codes of resolved regions are pairwise distinct.

    Raises:
        UserError: smooth activations (named), wrong input shape, a cap below 1.
    """
    program.require_piecewise_linear("an exact slice")
    if max_regions < 1:
        raise UserError(f"expected a cap of at least 1 region; got {max_regions}")
    exact = program.to(torch.float64)
    low_u, high_u, low_v, high_v = plane.extent
    half = np.array([(high_u - low_u) / 2, (high_v - low_v) / 2])
    middle = np.array([(low_u + high_u) / 2, (low_v + high_v) / 2])
    live = exact.begin(plane.points(middle + CORNERS * half))
    square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    widest = max([int(np.prod(step.shape)) for step in exact.steps] + [1])
    with torch.no_grad():
        return _Slicer(
            exact, max_regions, min(MAXIMUM_CHUNK, max(1, memory_values // (3 * widest))), epsilon, readout
        ).run(_Chunk(0, live, square, np.array([0, 4])), plane, middle, half)


class _Slicer:
    """Depth-first over chunks of regions."""

    def __init__(self, program: Program, cap: int, chunk: int, epsilon: float, readout: Tensor | None) -> None:
        self.program, self.cap, self.chunk, self.epsilon = program, cap, chunk, epsilon
        self.readout = readout
        self.cuts: dict[str, list[np.ndarray]] = {step.site: [] for step in program.sites}
        self.total = 1  # regions finished and pending
        self.finished: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]] = []

    def run(self, first: _Chunk, plane: Plane, middle: np.ndarray, half: np.ndarray) -> Slice:
        pending = [(first, True)]
        while pending:
            chunk, resolved = pending.pop()
            while True:
                chunk.position = self.program.advance(chunk.live, chunk.position)
                if chunk.position == len(self.program.steps):
                    break
                chunk, whole = self._cut(chunk)
                n = len(chunk.offsets) - 1
                if not whole.all():
                    pending.append((self._select(chunk, np.flatnonzero(~whole)), False))
                    chunk = self._select(chunk, np.flatnonzero(whole))
                    n = len(chunk.offsets) - 1
                if n == 0:
                    break
                for start in range(self.chunk, n, self.chunk):
                    pending.append((self._select(chunk, np.arange(start, min(n, start + self.chunk))), resolved))
                chunk = self._select(chunk, np.arange(self.chunk)) if n > self.chunk else chunk
            if len(chunk.offsets) > 1:
                self._finish(chunk, resolved)
        return self._collect(plane, middle, half)

    def _cut(self, chunk: _Chunk) -> tuple[_Chunk, np.ndarray]:
        """Cut the chunk's regions at its next switch and apply the switch to every part."""
        step = self.program.steps[chunk.position]
        n = len(chunk.offsets) - 1
        z = chunk.live[step.source]
        allowed = max(1, self.cap - (self.total - n))
        vertices, offsets, parent, chords, whole = self._split(step, z, chunk, n, allowed)
        self.cuts[step.site].append(chords)
        self.total += len(parent) - n
        chosen = torch.as_tensor(parent)
        live = {name: value.reshape(n, 3, *value.shape[1:])[chosen].flatten(0, 1) for name, value in chunk.live.items()}
        centres = kernels.areas_and_centroids(vertices, offsets)[1]
        live[step.name] = _switched(step, live[step.source], torch.as_tensor(centres))
        self.program.release(live, chunk.position)
        return _Chunk(chunk.position + 1, live, vertices, offsets), whole

    def _split(self, step: Step, z: Tensor, chunk: _Chunk, n: int, allowed: int) -> tuple:
        if step.switch is not None:
            values = z.reshape(n, 3, -1).numpy()
            thresholds = np.array(step.switch.thresholds)
            lines, _, starts = kernels.crossing_lines(chunk.vertices, chunk.offsets, values, thresholds, self.epsilon)
            return kernels.split_by_lines(chunk.vertices, chunk.offsets, lines, starts, self.epsilon, allowed)
        assert step.window is not None
        values = step.window.candidates(z).reshape(n, 3, -1, step.window.places.shape[1]).numpy()
        return kernels.split_by_maxima(chunk.vertices, chunk.offsets, values, self.epsilon, allowed)

    def _select(self, chunk: _Chunk, regions: np.ndarray) -> _Chunk:
        n = len(chunk.offsets) - 1
        index = torch.as_tensor(regions)
        live = {name: v.reshape(n, 3, *v.shape[1:])[index].flatten(0, 1) for name, v in chunk.live.items()}
        sizes = np.diff(chunk.offsets)[regions]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        rows = [np.arange(chunk.offsets[r], chunk.offsets[r + 1]) for r in regions]  # pyright: ignore
        vertices = chunk.vertices[np.concatenate(rows)] if rows else np.empty((0, 2))
        return _Chunk(chunk.position, live, vertices, offsets)

    def _finish(self, chunk: _Chunk, resolved: bool) -> None:
        values = chunk.live[self.program.output]
        n = len(chunk.offsets) - 1
        corners = values.reshape(n, 3, -1)
        if self.readout is not None:
            corners = corners @ self.readout.to(corners).T
        centres = torch.as_tensor(kernels.areas_and_centroids(chunk.vertices, chunk.offsets)[1])
        slopes = torch.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], dim=-1)
        sizes = np.diff(chunk.offsets)
        self.finished.append((chunk.vertices, sizes, _at(corners, centres).numpy(), slopes.numpy(), resolved))

    def _collect(self, plane: Plane, middle: np.ndarray, half: np.ndarray) -> Slice:
        vertices = np.concatenate([part[0] for part in self.finished]) * half + middle
        sizes = np.concatenate([part[1] for part in self.finished])
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        area, centroid = kernels.areas_and_centroids(vertices, offsets)
        values = np.concatenate([part[2] for part in self.finished])
        slopes = np.concatenate([part[3] for part in self.finished]) / half
        resolved = np.concatenate([np.full(len(part[1]), part[4]) for part in self.finished])
        scale, shift = np.tile(half, 2), np.tile(middle, 2)
        cuts = {site: np.concatenate([*parts, np.empty((0, 4))]) * scale + shift for site, parts in self.cuts.items()}
        return Slice(plane, vertices, offsets, area, centroid, values, slopes, resolved, cuts)


def _at(corners: Tensor, places: Tensor) -> Tensor:
    """Affine functions given at the three corners ``[region corner ...]``, evaluated at one place per region."""
    shape = [-1] + [1] * (corners.dim() - 2)
    base = corners[:, 0]
    u, v = places[:, 0].reshape(shape), places[:, 1].reshape(shape)
    return base + u * (corners[:, 1] - base) + v * (corners[:, 2] - base)


def _switched(step: Step, z: Tensor, centres: Tensor) -> Tensor:
    """The switch applied with each region's own pieces, at the three corners: an affine function again."""
    corners = z.reshape(-1, 3, *z.shape[1:])
    middle = _at(corners, centres)
    if step.switch is not None:
        pieces = step.switch.pieces(middle)
        return step.switch.apply(corners, pieces.unsqueeze(1).expand(corners.shape)).flatten(0, 1)
    assert step.window is not None
    places = step.window.pool(middle)[1]
    return step.window.pick(corners, places.unsqueeze(1).expand(-1, 3, *places.shape[1:])).flatten(0, 1)
