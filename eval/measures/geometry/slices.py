"""Exact two-dimensional slices: the polytopes of a network in a plane through its input space, as polygons.

Axis glossary: ``region`` polygons, ``corner`` three points at which a region's affine function is stored, ``unit``.

Within a polygon every live value is affine in the two plane coordinates, so its values at three corner points say
everything, and an affine step of the network maps values at corners to values at corners. At a switch, each polygon is
cut by the lines on which a unit passes a threshold (or on which the winner of a max-pool window changes), and every
part continues with its own copy. Depth first in chunks, so memory stays bounded. Areas add up to the window.

A cap on the number of regions is spent best-first. A part is never larger than what it was cut from, so a polygon too
small to be among the `max_regions` largest regions can be dropped at once (branch and bound): a capped slice holds
exactly the largest regions of the window, each of them whole, and says which share of the window they cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry import polygon_kernels as kernels
from eval.measures.geometry.piecewise_linear import Program, Step, code_of
from eval.measures.geometry.planes import Plane

EPSILON = 1e-10
"""Slivers thinner than this share of the window are rounding, not polytopes."""
MAXIMUM_CHUNK = 512
"""Regions that descend together; small enough that a capped slice still reaches the output somewhere."""
WINDOW_AREA = 4.0
"""Of the window scaled to [-1, 1] x [-1, 1]."""
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


@dataclass(frozen=True)
class Slice:
    """The polytopes in a window.

    vertices ``[vertex 2]`` and offsets ``[region + 1]``: polygons in plane coordinates; area, centroid.
    values ``[region output]``: the output (or its readout) at each centroid, from the region's own affine map;
    slopes ``[region output 2]``: that map's gradient in plane coordinates.
    complete: nothing of the window is missing; False where the cap left regions out, none of which is larger than any
    that is here.
    boundaries: per site, the cuts made there as segments ``[cut 4]`` (u1, v1, u2, v2).
    """

    plane: Plane
    vertices: Float[np.ndarray, "vertex 2"]
    offsets: Int[np.ndarray, " region_and_one"]
    area: Float[np.ndarray, " region"]
    centroid: Float[np.ndarray, "region 2"]
    values: Float[np.ndarray, "region output"]
    slopes: Float[np.ndarray, "region output 2"]
    complete: bool
    boundaries: dict[str, Float[np.ndarray, "cut 4"]]

    @property
    def n_regions(self) -> int:
        return len(self.area)

    @property
    def covered(self) -> float:
        """Share of the window that the regions cover; 1 for a complete slice."""
        return float(self.area.sum() / self.plane.area)

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
    areas: np.ndarray


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
        max_regions: cap on the regions returned; where the window has more, the largest are returned and
            `Slice.complete` is False.
        memory_values: float64 values held for the widest step of one chunk.
        epsilon: slivers thinner than this share of the window are not cut.
        readout: ``[readout output]`` linear readout to keep instead of the whole output (a thousand logits a region).

    Returns:
        `Slice`; every region is exact, their centroid codes are pairwise distinct, and the areas of a complete slice
        sum to the window's.

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
    chunk = min(MAXIMUM_CHUNK, max(1, memory_values // (3 * widest)))
    smallest = 0.0  # first everything; where that is too much, ever smaller regions until there are enough
    with torch.no_grad():
        while True:
            slicer = _Slicer(exact, max_regions, chunk, epsilon, smallest, readout)
            first = _Chunk(0, dict(live), square, np.array([0, 4]), np.array([WINDOW_AREA]))
            if slicer.run(first):
                return slicer.collect(plane, middle, half)
            smallest = WINDOW_AREA / max_regions if smallest == 0 else smallest / 4


class _Slicer:
    """Depth-first over chunks of regions, the largest first; without a smallest area it gives up beyond the cap."""

    def __init__(
        self, program: Program, cap: int, chunk: int, epsilon: float, smallest: float, readout: Tensor | None
    ) -> None:
        self.program, self.cap, self.chunk, self.epsilon = program, cap, chunk, epsilon
        self.smallest, self.floor, self.readout = smallest, smallest, readout
        self.cuts: dict[str, list[np.ndarray]] = {step.site: [] for step in program.sites}
        self.total = 1  # regions finished and pending
        self.left_out = 0
        self.areas = np.empty(0)  # of the finished regions, at most `cap` of them
        self.finished: list[tuple[np.ndarray, ...]] = []

    def run(self, first: _Chunk) -> bool:
        """Whether the answer is found: all regions, or as many as the cap allows (at a vanishing area, fewer)."""
        pending = [first]
        while pending:
            chunk = self._worthwhile(pending.pop())
            while len(chunk.areas):
                chunk.position = self.program.advance(chunk.live, chunk.position)
                if chunk.position == len(self.program.steps):
                    self._finish(chunk)
                    break
                chunk = self._cut(chunk)
                if self.smallest == 0 and self.total > self.cap:
                    return False
                chunk = self._worthwhile(chunk)
                order = np.argsort(-chunk.areas, kind="stable")
                for start in reversed(range(self.chunk, len(order), self.chunk)):
                    pending.append(self._select(chunk, order[start : start + self.chunk]))
                chunk = self._select(chunk, order[: self.chunk]) if len(order) > self.chunk else chunk
        return len(self.areas) >= self.cap or self.left_out == 0 or self.smallest < self.epsilon

    def _worthwhile(self, chunk: _Chunk) -> _Chunk:
        """The chunk without what is too small to be among the largest regions."""
        keep = np.flatnonzero(chunk.areas >= self.floor)
        self.left_out += len(chunk.areas) - len(keep)
        return chunk if len(keep) == len(chunk.areas) else self._select(chunk, keep)

    def _cut(self, chunk: _Chunk) -> _Chunk:
        """Cut the chunk's regions at its next switch and apply the switch to every part."""
        step = self.program.steps[chunk.position]
        n = len(chunk.areas)
        z = chunk.live[step.source]
        most = self.cap - (self.total - n) if self.smallest == 0 else np.iinfo(np.int64).max
        vertices, offsets, parent, chords, left_out, stopped = self._split(step, z, chunk, n, most)
        self.cuts[step.site].append(chords)
        self.left_out += left_out
        self.total += len(parent) - n
        if stopped:
            return _Chunk(chunk.position, {}, vertices, offsets, np.empty(0))
        chosen = torch.as_tensor(parent)
        live = {name: value.reshape(n, 3, *value.shape[1:])[chosen].flatten(0, 1) for name, value in chunk.live.items()}
        areas, centres = kernels.areas_and_centroids(vertices, offsets)
        live[step.name] = _switched(step, live[step.source], torch.as_tensor(centres))
        self.program.release(live, chunk.position)
        return _Chunk(chunk.position + 1, live, vertices, offsets, areas)

    def _split(self, step: Step, z: Tensor, chunk: _Chunk, n: int, most: int) -> tuple:
        if step.switch is not None:
            values = z.reshape(n, 3, -1).numpy()
            thresholds = np.array(step.switch.thresholds)
            lines, _, starts = kernels.crossing_lines(chunk.vertices, chunk.offsets, values, thresholds, self.epsilon)
            return kernels.split_by_lines(
                chunk.vertices, chunk.offsets, lines, starts, self.epsilon, most, float(self.floor)
            )
        assert step.window is not None
        values = step.window.candidates(z).reshape(n, 3, -1, step.window.places.shape[1]).numpy()
        return kernels.split_by_maxima(chunk.vertices, chunk.offsets, values, self.epsilon, most, float(self.floor))

    def _select(self, chunk: _Chunk, regions: np.ndarray) -> _Chunk:
        n = len(chunk.offsets) - 1
        index = torch.as_tensor(regions)
        live = {name: v.reshape(n, 3, *v.shape[1:])[index].flatten(0, 1) for name, v in chunk.live.items()}
        sizes = np.diff(chunk.offsets)[regions]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        rows = [np.arange(chunk.offsets[r], chunk.offsets[r + 1]) for r in regions]  # pyright: ignore
        vertices = chunk.vertices[np.concatenate(rows)] if rows else np.empty((0, 2))
        return _Chunk(chunk.position, live, vertices, offsets, chunk.areas[regions])

    def _finish(self, chunk: _Chunk) -> None:
        values = chunk.live[self.program.output]
        n = len(chunk.offsets) - 1
        corners = values.reshape(n, 3, -1)
        if self.readout is not None:
            corners = corners @ self.readout.to(corners).T
        centres = torch.as_tensor(kernels.areas_and_centroids(chunk.vertices, chunk.offsets)[1])
        slopes = torch.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], dim=-1)
        sizes = np.diff(chunk.offsets)
        self.finished.append((chunk.vertices, sizes, _at(corners, centres).numpy(), slopes.numpy()))
        self.areas = np.concatenate([self.areas, chunk.areas])
        if len(self.areas) > self.cap:  # the smallest of the largest is what a region has to beat from here on
            self.left_out += len(self.areas) - self.cap
            self.areas = -np.partition(-self.areas, self.cap - 1)[: self.cap]
            self.floor = max(self.floor, float(self.areas.min()))

    def collect(self, plane: Plane, middle: np.ndarray, half: np.ndarray) -> Slice:
        """The finished regions in plane coordinates, the largest `cap` of them."""
        vertices, sizes, values, slopes = (np.concatenate(part) for part in zip(*self.finished, strict=True))
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        area, centroid = kernels.areas_and_centroids(vertices * half + middle, offsets)
        if len(sizes) > self.cap:
            keep = np.sort(np.argsort(-area, kind="stable")[: self.cap])
            vertices = np.concatenate([vertices[offsets[r] : offsets[r + 1]] for r in keep])
            offsets = np.concatenate([[0], np.cumsum(sizes[keep])])
            area, centroid, values, slopes = (v[keep] for v in (area, centroid, values, slopes))
        scale, shift = np.tile(half, 2), np.tile(middle, 2)
        cuts = {site: np.concatenate([*parts, np.empty((0, 4))]) * scale + shift for site, parts in self.cuts.items()}
        whole = self.left_out == 0
        return Slice(plane, vertices * half + middle, offsets, area, centroid, values, slopes / half, whole, cuts)


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
