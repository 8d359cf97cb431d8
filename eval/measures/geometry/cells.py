"""Polytopes as objects: the cell of a point, its affine map, its walls and neighbours, how large it is.

Axis glossary: ``in`` inputs and ``out`` outputs of the network, flattened; ``wall`` half-spaces
``normal . x <= offset`` with unit normals; ``unit`` switches in order of the sites (`code_of`).

In the cell of a point every pre-activation is affine in the input, so each switch bounds the cell by one half-space for
each threshold next to its value (a max-pool window by one for each candidate that loses) [Balestriero & Baraniuk 2018].
Most of them are redundant; those that are not are the facets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.optimize import linprog, nnls
from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

from eval.errors import UserError
from eval.measures.geometry.small_programmes import TOLERANCE, largest_ball, middle_of_wall
from eval.scores import Score

BOX = -1
"""`Cell.site` of a wall that is a side of the box the cell was cut to."""
MOST_AXES_OF_VERTICES = 6
"""Vertices and volumes are listed up to this dimension: their number grows exponentially."""
RAYS = 64


@dataclass(frozen=True)
class Cell:
    """One polytope of a network, cut to a box where one was given.

    point: of the cell, the one asked for; symbols: its code; normals, offsets: walls that may bound it, without exact
    repeats; site, unit: which switch each belongs to (`BOX`: a side of the box); matrix, shift: what the network
    computes in it, ``matrix @ x + shift``.
    """

    point: Float[np.ndarray, " in"]
    symbols: UInt8[np.ndarray, " unit"]
    normals: Float[np.ndarray, "wall in"]
    offsets: Float[np.ndarray, " wall"]
    site: Int[np.ndarray, " wall"]
    unit: Int[np.ndarray, " wall"]
    matrix: Float[np.ndarray, "out in"]
    shift: Float[np.ndarray, " out"]

    @property
    def key(self) -> bytes:
        """The code as bytes: two cells are the same where their keys are."""
        return self.symbols.tobytes()

    def contains(self, points: Float[np.ndarray, "point in"]) -> np.ndarray:
        """Which points lie in the closed cell, ``[point]``."""
        return np.all(points @ self.normals.T <= self.offsets + TOLERANCE, axis=1)

    def inside_box(self, points: Float[np.ndarray, "point in"]) -> np.ndarray:
        """Which points lie strictly inside the box that the cell was cut to (all, where there is none), ``[point]``."""
        sides = self.site == BOX
        return np.all(points @ self.normals[sides].T < self.offsets[sides], axis=1)

    @cached_property
    def _ball(self) -> tuple[np.ndarray, float]:
        return largest_ball(self.normals, self.offsets, self.point)

    @property
    def centre(self) -> Float[np.ndarray, " in"]:
        """Chebyshev centre: of the largest ball in the cell (the point itself where no ball is largest)."""
        return self._ball[0]

    @property
    def inradius(self) -> float:
        """Radius of the largest ball in the cell; infinite for a cell that holds balls of any size."""
        return self._ball[1]

    @cached_property
    def _corners(self) -> tuple[np.ndarray, list[list[int]]] | None:
        """Vertices and the walls that meet in each, by Qhull; None where that is not to be had."""
        n = self.normals.shape[1]
        if not 2 <= n <= MOST_AXES_OF_VERTICES or not TOLERANCE < self.inradius < np.inf:
            return None
        try:
            hull = HalfspaceIntersection(np.c_[self.normals, -self.offsets], self.centre)
        except QhullError:
            return None
        return hull.intersections, hull.dual_facets

    @cached_property
    def _facets(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the facets and one point inside each."""
        if self._corners is not None and (found := _from_corners(*self._corners, self.normals, self.offsets)):
            return found
        inside = self.centre if np.isfinite(self.inradius) and self.inradius > 0 else self.point
        hit = _shoot(self.normals, self.offsets, inside)
        for wall in range(len(self.normals)):
            if wall in hit:
                continue
            if (place := middle_of_wall(self.normals, self.offsets, wall, inside)) is not None:
                hit[wall] = place
        order = np.array(sorted(hit), dtype=np.int64)
        return order, np.array([hit[wall] for wall in order]).reshape(len(order), len(self.point))

    @property
    def facets(self) -> Int[np.ndarray, " facet"]:
        """Walls that bound the cell, none of which can be left out."""
        return self._facets[0]

    @property
    def facet_points(self) -> Float[np.ndarray, "facet in"]:
        """One point inside each facet."""
        return self._facets[1]

    @cached_property
    def vertices(self) -> Float[np.ndarray, "vertex in"]:
        """Corners of a bounded cell.

        Raises `UserError` above `MOST_AXES_OF_VERTICES` dimensions and for a cell without bounds or interior.
        """
        n = self.normals.shape[1]
        if n > MOST_AXES_OF_VERTICES:
            raise UserError(f"expected at most {MOST_AXES_OF_VERTICES} dimensions for vertices; got {n}; use inradius")
        if not np.isfinite(self.inradius) or self.inradius <= TOLERANCE:
            raise UserError(f"expected a bounded cell with an interior; its inradius is {self.inradius:g}; give a box")
        if n == 1:
            ends = self.offsets[self.facets] * self.normals[self.facets, 0]
            return np.sort(ends)[:, None]
        kept = np.c_[self.normals[self.facets], -self.offsets[self.facets]]
        return self._corners[0] if self._corners else HalfspaceIntersection(kept, self.centre).intersections

    @cached_property
    def volume(self) -> Score:
        """Of a bounded cell of few dimensions, in units of the input to the power of its dimension; else undefined."""
        try:
            corners = self.vertices
        except UserError as error:
            return Score.undefined(str(error))
        return Score(float(np.ptp(corners)) if corners.shape[1] == 1 else float(ConvexHull(corners).volume))

    def distance(self, point: Float[np.ndarray, " in"]) -> float:
        """Euclidean distance of a point to the cell, 0 inside: least distance programming [Lawson & Hanson 1974]."""
        gap = self.normals @ point - self.offsets
        if (gap <= 0).all():
            return 0.0
        system = np.r_[-self.normals.T, gap[None]]
        target = np.r_[np.zeros(self.normals.shape[1]), 1.0]
        rest = system @ nnls(system, target, maxiter=30 * len(gap))[0] - target
        return float(np.linalg.norm(rest[:-1] / rest[-1])) if rest[-1] != 0 else np.inf

    def decision_boundary(self, first: int, second: int) -> tuple[Float[np.ndarray, " in"], float] | None:
        """The hyperplane ``normal . x = offset`` inside the cell on which two outputs are equal; None where the cell
        lies on one side of it (normal: unit, towards where `first` is larger)."""
        normal, offset = self.matrix[first] - self.matrix[second], self.shift[second] - self.shift[first]
        size = float(np.linalg.norm(normal))
        if size == 0:
            return None
        low, high = (self._extreme(sign * normal / size) * sign for sign in (-1.0, 1.0))
        offset = float(offset / size)
        return (normal / size, offset) if low < offset - TOLERANCE and high > offset + TOLERANCE else None

    def _extreme(self, direction: np.ndarray) -> float:
        """The largest value of a linear function on the cell."""
        bounds = [(None, None)] * len(direction)
        found = linprog(-direction, A_ub=self.normals, b_ub=self.offsets, bounds=bounds)
        return np.inf if found.status == 3 else -float(found.fun)


def _from_corners(
    corners: np.ndarray, meet: list[list[int]], normals: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Facets and the mean corner of each, inside it; None where a mean lies on another wall (corners that coincide)."""
    owners = np.repeat(np.arange(len(meet)), [len(walls) for walls in meet])
    walls = np.concatenate(meet).astype(np.int64)
    facets, which = np.unique(walls, return_inverse=True)
    places = np.zeros((len(facets), corners.shape[1]))
    np.add.at(places, which, corners[owners])
    places /= np.bincount(which)[:, None]
    gap = offsets - places @ normals.T
    gap[np.arange(len(facets)), facets] = np.inf
    return (facets, places) if (gap > TOLERANCE).all() and np.isfinite(places).all() else None


def _shoot(normals: np.ndarray, offsets: np.ndarray, inside: np.ndarray) -> dict[int, np.ndarray]:
    """Facets that random rays from inside meet first, with the place: quick, and never wrong."""
    ways = np.random.default_rng(0).normal(size=(RAYS * normals.shape[1], normals.shape[1]))
    ways = np.r_[ways, normals]
    speed = ways @ normals.T
    gap = offsets - normals @ inside
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(speed > 0, gap / speed, np.inf)
    first = t.argmin(1)
    soonest = t[np.arange(len(t)), first]
    t[np.arange(len(t)), first] = np.inf
    clear = np.isfinite(soonest) & (t.min(1) > soonest * (1 + 1e-6) + TOLERANCE)
    return {int(first[ray]): inside + soonest[ray] * ways[ray] for ray in np.flatnonzero(clear)}
