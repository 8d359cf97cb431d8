"""The polytopes of points: one half-space for every switch that can bound each, and the affine map inside.

Axis glossary: as `cells`; ``cell`` points with one polytope each, ``probe`` a point and one step from it along every
input. Frozen as it stands at its point the network is affine, so n + 1 probes say everything about n inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.affine_maps import BoundaryError
from eval.measures.geometry.cells import BOX, Cell
from eval.measures.geometry.piecewise_linear import Program, Step, require_finite, site_symbols
from eval.measures.geometry.switches import Switch, Window

MOST_PROBES = 2**13
"""Points that go through the network together."""
Box = tuple[np.ndarray | float, np.ndarray | float]


def cell_of(program: Program, x: Tensor, box: Box | None = None) -> Cell:
    """Which polytope does a point lie in? `cells_of` for one input without the batch axis."""
    return cells_of(program, x[None], box)[0]


def cells_of(program: Program, points: Float[Tensor, "cell ..."], box: Box | None = None) -> list[Cell]:
    """Which polytope does each point lie in? Exact in float64: n + 1 points through the frozen network for each of
    them, n its inputs, many together.

    Args:
        program: a piecewise-linear traced network or a tail of it.
        points: inputs.
        box: (low, high), scalars or one number per input, to which the cells are cut.

    Raises:
        UserError: smooth activations (named), a wrong shape, a point exactly on a wall or outside the box.
    """
    program.require_piecewise_linear("the polytope of a point")
    exact, points = program.to(torch.float64), points.detach().to(torch.float64)
    exact.begin(points)
    n = points[:1].numel()
    sides = _sides(points.flatten(1).numpy(), box)
    together = max(1, MOST_PROBES // (n + 1))
    return [cell for first in range(0, len(points), together)
            for cell in _cells(exact, points[first : first + together], sides)]  # fmt: skip


def _sides(points: np.ndarray, box: Box | None) -> tuple[np.ndarray, np.ndarray]:
    """Half-spaces of the box, none without one."""
    n = points.shape[1]
    if box is None:
        return np.empty((0, n)), np.empty(0)
    low, high = (np.broadcast_to(np.asarray(side, dtype=np.float64), (n,)) for side in box)
    if not ((low < points) & (points < high)).all():
        raise UserError("expected a point inside the box; it lies outside or on a side; move it or widen the box")
    return np.r_[np.eye(n), -np.eye(n)], np.r_[high, -low]


@dataclass(frozen=True)
class _SiteWalls:
    """Half-spaces of one site in every cell: ``normals[cell wall in]``, ``offsets[cell wall]``; valid ``[cell wall]``:
    which bound that cell at all; unit ``[wall]``."""

    normals: np.ndarray
    offsets: np.ndarray
    valid: np.ndarray
    unit: np.ndarray


def _cells(program: Program, points: Tensor, sides: tuple[np.ndarray, np.ndarray]) -> list[Cell]:
    flat = points.flatten(1)
    k, n = flat.shape
    reach = flat.abs().amax(1).clamp(min=1.0)  # steps of the point's own size: differences keep their digits
    steps = torch.cat([torch.zeros(1, n, dtype=flat.dtype), torch.eye(n, dtype=flat.dtype)])
    probes = (flat[:, None] + reach[:, None, None] * steps).reshape(-1, *points.shape[1:])
    walls: list[_SiteWalls] = []
    symbols: list[np.ndarray] = []

    def collect(step: Step, z: Tensor) -> Tensor:
        z = z.reshape(k, n + 1, *z.shape[1:])
        require_finite(program, step, z[:, 0])
        _refuse_boundary(step, z)
        symbols.append(site_symbols(step, z[:, 0]).numpy())
        walls.append(_half_spaces(step, z, flat.numpy(), reach.numpy()))
        return _frozen(step, z).flatten(0, 1)

    with torch.no_grad():
        out = program.run(probes, collect).reshape(k, n + 1, -1).numpy()
    matrix = np.swapaxes(out[:, 1:] - out[:, :1], 1, 2) / reach.numpy()[:, None, None]
    shift = out[:, 0] - np.einsum("coi,ci->co", matrix, flat.numpy())
    codes = np.concatenate(symbols, axis=1) if symbols else np.empty((k, 0), dtype=np.uint8)
    return [Cell(point, code, *rows, a, b) for point, code, rows, a, b
            in zip(flat.numpy(), codes, _distinct(k, n, walls, sides), matrix, shift, strict=True)]  # fmt: skip


def _refuse_boundary(step: Step, z: Tensor) -> None:
    """Raise where a unit exactly on its threshold moves with the input (one that never moves is no wall)."""
    for threshold in step.switch.thresholds if step.switch is not None else ():
        on = z[:, :1] == threshold
        if bool(on.any()) and bool((on & (z[:, 1:] != z[:, :1])).any()):
            raise BoundaryError(step.site)


def _frozen(step: Step, z: Tensor) -> Tensor:
    """What the site computes at every probe ``[cell probe ...]`` with the pieces of the cell's own point."""
    if step.switch is not None:
        return step.switch.apply(z, step.switch.pieces(z[:, :1]).expand(z.shape))
    assert step.window is not None
    places = step.window.pool(z[:, :1])[1]
    return step.window.pick(z, places.expand(*z.shape[:2], *places.shape[2:]))


def _half_spaces(step: Step, z: Tensor, points: np.ndarray, reach: np.ndarray) -> _SiteWalls:
    if step.switch is not None:
        level, valid, unit = _switch_levels(step.switch, z)
    else:
        assert step.window is not None
        level, valid, unit = _window_levels(step.window, z)
    value = level[:, 0]
    slope = np.swapaxes(level[:, 1:] - level[:, :1], 1, 2) / reach[:, None, None]
    size = np.where(valid, np.linalg.norm(slope, axis=2), 0.0)
    valid = size > 1e-12 * np.maximum(1.0, size.max(1, initial=0.0, keepdims=True))
    scale = np.where(valid, size, 1.0)
    normals = slope / scale[..., None]
    return _SiteWalls(normals, np.einsum("cwi,ci->cw", normals, points) - value / scale, valid, unit)


def _switch_levels(switch: Switch, z: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Functions that are negative in the cell and zero on its walls, ``[cell probe wall]``, which of them exist
    ``[cell wall]``, and their units: for each unit the threshold above its value, then the one below."""
    flat = z.flatten(2).numpy()
    pieces = switch.pieces(z[:, 0]).flatten(1).numpy()
    thresholds = np.array(switch.thresholds)
    above = thresholds[np.minimum(pieces, len(thresholds) - 1)][:, None]
    below = thresholds[np.maximum(pieces.astype(np.int64) - 1, 0)][:, None]
    unit = np.arange(flat.shape[2])
    valid = np.concatenate([pieces < len(thresholds), pieces > 0], axis=1)
    return np.concatenate([flat - above, below - flat], axis=2), valid, np.r_[unit, unit]


def _window_levels(window: Window, z: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_switch_levels`: each candidate against the winner of its window."""
    size = window.places.shape[1]
    values = window.candidates(z).reshape(*z.shape[:2], -1, size).numpy()
    winner = values[:, 0].argmax(-1)
    lead = np.take_along_axis(values, winner[:, None, :, None], axis=3)
    valid = np.isfinite(values[:, 0]) & (np.arange(size) != winner[..., None])
    with np.errstate(invalid="ignore"):
        level = np.where(valid[:, None], values - lead, 0.0)
    unit = np.repeat(np.arange(values.shape[2]), size)
    return level.reshape(*level.shape[:2], -1), valid.reshape(len(valid), -1), unit


def _distinct(
    k: int, n: int, walls: list[_SiteWalls], sides: tuple[np.ndarray, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """For each cell its walls (normals, offsets, site, unit), the box's sides first; of those that are one half-space
    (copies of a unit) the first."""
    box = _SiteWalls(np.tile(sides[0], (k, 1, 1)), np.tile(sides[1], (k, 1)), np.ones((k, len(sides[1])), dtype=bool),
                     np.arange(len(sides[1])))  # fmt: skip
    every = [box, *walls]
    normals, offsets, valid = (
        np.concatenate([getattr(part, key) for part in every], axis=1) for key in ("normals", "offsets", "valid")
    )
    unit = np.concatenate([part.unit for part in every])
    site = np.repeat(np.arange(BOX, len(walls)), [len(part.unit) for part in every])
    cell, wall = np.nonzero(valid)
    rows = np.c_[cell, np.round(np.c_[normals[cell, wall], offsets[cell, wall]], 9)] + 0.0  # + 0.0: no negative zeros
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * (n + 2))))[:, 0]
    keep = np.sort(np.unique(whole, return_index=True)[1])
    for one, mine in enumerate(np.split(wall[keep], np.searchsorted(cell[keep], np.arange(1, k)))):
        yield normals[one, mine], offsets[one, mine], site[mine], unit[mine]
