"""Linear programmes of few unknowns, from a point that is inside: the largest ball of a cell, and of one of its walls.

Axis glossary: ``row`` constraints ``rows . y <= bounds``, ``unknown``; ``wall`` and ``in`` as in `cells`.

The active-set method [Nocedal & Wright 2006, Numerical Optimization, section 16.5, with a linear goal]: walk up the
projection of the goal on the rows that hold until another row stops it; where the projection is zero, leave a row
whose multiplier is negative, or stop at the optimum. Cells of few inputs take microseconds. HiGHS (`scipy`) answers
above `MOST_UNKNOWNS` and wherever the walk does not end, or ends outside a row.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from eval.measures.compiled import compiled

MOST_UNKNOWNS = 33
TOLERANCE = 1e-9
"""A facet thinner than this is rounding; the walk's rounding may be as much, against the size of the bounds."""
OPTIMUM, UNBOUNDED, UNFINISHED = 0, 1, 2


def largest_ball(
    normals: Float[np.ndarray, "wall in"], offsets: Float[np.ndarray, " wall"], inside: Float[np.ndarray, " in"]
) -> tuple[Float[np.ndarray, " in"], float]:
    """Chebyshev centre and inradius: ``max r, normal . x + r <= offset`` for every wall (unit normals).

    (`inside`, infinity) where balls of any size fit in; (`inside`, 0) where there is no inside.
    """
    radius = float((offsets - normals @ inside).min(initial=np.inf))
    if radius == np.inf:
        return inside, np.inf
    rows, goal = np.c_[normals, np.ones(len(normals))], np.r_[np.zeros(len(inside)), 1.0]
    if radius > 0 and len(goal) <= MOST_UNKNOWNS:
        place, state = _climb(rows, offsets, goal, np.r_[inside, radius], 0)
        if state == UNBOUNDED:
            return inside, np.inf
        if state == OPTIMUM and _holds(rows, offsets, place):
            return place[:-1], float((offsets - normals @ place[:-1]).min())
    bounds = [(None, None)] * len(inside) + [(0, None)]
    found = linprog(-goal, A_ub=rows, b_ub=offsets, bounds=bounds)
    if found.status == 3:
        return inside, np.inf
    return (found.x[:-1], float(found.x[-1])) if found.status == 0 else (inside, 0.0)


def middle_of_wall(
    normals: Float[np.ndarray, "wall in"], offsets: Float[np.ndarray, " wall"], wall: int,
    inside: Float[np.ndarray, " in"],
) -> Float[np.ndarray, " in"] | None:  # fmt: skip
    """The centre of the largest ball in a wall (of radius 1 at most), None where the wall is redundant.

    inside: a point strictly inside all walls. A wall is no facet where the others alone keep the cell on its side.
    """
    others = np.arange(len(normals)) != wall
    along = normals[others] @ normals[wall]
    size = np.sqrt(np.maximum(1 - along * along, 0.0))
    n = normals.shape[1]
    rows = np.r_[np.r_[normals[wall], 0.0][None], np.c_[normals[others], size], np.r_[np.zeros(n), 1.0][None]]
    bounds = np.r_[offsets[wall], offsets[others], 1.0]
    if n < MOST_UNKNOWNS and (normals @ inside < offsets).all():
        crossing = _crossing(normals[others], offsets[others], normals[wall], float(offsets[wall]), inside)
        if crossing is not None:
            if not len(crossing):
                return None
            place, state = _climb(rows, bounds, np.r_[np.zeros(n), 1.0], np.r_[crossing, 0.0], 1)
            if state == OPTIMUM and _holds(rows, bounds, place):
                return None if n > 1 and place[n] <= TOLERANCE else place[:n]
    found = linprog(
        np.r_[np.zeros(n), -1.0], A_ub=rows[1:-1], b_ub=bounds[1:-1], A_eq=rows[:1], b_eq=bounds[:1],
        bounds=[(None, None)] * n + [(0, 1.0)],
    )  # fmt: skip
    return None if found.status != 0 or (n > 1 and found.x[n] <= TOLERANCE) else found.x[:n]


def _crossing(
    normals: np.ndarray, offsets: np.ndarray, goal: np.ndarray, level: float, inside: np.ndarray
) -> np.ndarray | None:
    """A point of the other walls' cell on the plane ``goal . x = level``; empty where they keep the cell below it;
    None where the walk did not end."""
    far = level + (level - goal @ inside)  # a row as far beyond the plane as `inside` is before it: the walk ends there
    place, state = _climb(np.r_[normals, goal[None]], np.r_[offsets, far], goal, inside, 0)
    if state != OPTIMUM or not _holds(normals, offsets, place):
        return None
    reached = float(goal @ place)
    if reached <= level:
        return np.empty(0)
    share = (level - goal @ inside) / (reached - goal @ inside)
    return inside + share * (place - inside)


def _holds(rows: np.ndarray, bounds: np.ndarray, place: np.ndarray) -> bool:
    room = TOLERANCE * np.maximum(1.0, np.abs(bounds))
    return bool(np.isfinite(place).all() and (rows @ place <= bounds + room).all())


@compiled()
def _climb(rows, bounds, goal, start, fixed):  # noqa: ANN001, ANN202 (numba types)
    """``max goal . y`` with ``rows . y <= bounds`` from a point that obeys them; the first `fixed` rows hold with
    equality at the start and stay so. Returns the place and OPTIMUM, UNBOUNDED or UNFINISHED."""
    n_rows, n = rows.shape
    place = start.copy()
    holds = np.zeros(n_rows, np.bool_)
    active = np.empty(n, np.int64)
    basis, triangle = np.zeros((n, n)), np.zeros((n, n))
    count = 0
    for row in range(fixed):
        count = _append(rows, row, active, holds, basis, triangle, count)
    for _ in range(20 * (n + n_rows)):
        way = goal.copy()
        for _again in range(2):
            for k in range(count):
                way -= (basis[k] @ way) * basis[k]
        length = np.sqrt(way @ way)
        if count < n and length > 1e-10:
            way /= length
            step, hit = np.inf, -1
            for row in range(n_rows):
                speed = rows[row] @ way
                if not holds[row] and speed > 1e-12:
                    time = max(bounds[row] - rows[row] @ place, 0.0) / speed
                    if time < step:
                        step, hit = time, row
            if hit < 0:
                return place, 1
            place += step * way
            count = _append(rows, hit, active, holds, basis, triangle, count)
            continue
        worst = _worst(goal, basis, triangle, count, fixed)
        if worst < 0:
            return place, 0
        kept = active[:count].copy()
        holds[kept[worst]] = False
        count = worst
        for k in range(worst + 1, len(kept)):
            count = _append(rows, kept[k], active, holds, basis, triangle, count)
    return place, 2


@compiled()
def _append(rows, row, active, holds, basis, triangle, count):  # noqa: ANN001, ANN202
    """One row more that holds: the next vector of the orthonormal basis and column of the triangle (Gram-Schmidt)."""
    vector = rows[row].copy()
    triangle[:, count] = 0.0
    for _again in range(2):
        for k in range(count):
            part = basis[k] @ vector
            triangle[k, count] += part
            vector -= part * basis[k]
    size = np.sqrt(vector @ vector)
    triangle[count, count] = size
    basis[count] = vector / size
    active[count] = row
    holds[row] = True
    return count + 1


@compiled()
def _worst(goal, basis, triangle, count, fixed):  # noqa: ANN001, ANN202
    """Which row that holds has the most negative multiplier; -1 where none has."""
    multiplier = np.zeros(count)
    worst, least = -1, -1e-11
    for k in range(count - 1, -1, -1):
        rest = basis[k] @ goal
        for j in range(k + 1, count):
            rest -= triangle[k, j] * multiplier[j]
        multiplier[k] = rest / triangle[k, k]
        if k >= fixed and multiplier[k] < least:
            worst, least = k, multiplier[k]
    return worst
