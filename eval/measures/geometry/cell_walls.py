"""The polytope of a point: one half-space for every switch that can bound it, and the affine map inside.

Axis glossary: as `cells`. Frozen as it stands at the point the network is affine, so n + 1 points through it say
everything about n inputs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.affine_maps import AffineMap, local_map
from eval.measures.geometry.cells import BOX, Cell
from eval.measures.geometry.piecewise_linear import Program, Step, code_of


def cell_of(program: Program, x: Tensor, box: tuple[np.ndarray | float, np.ndarray | float] | None = None) -> Cell:
    """Which polytope does a point lie in? Exact in float64: n + 1 points through the frozen network, n its inputs.

    Args:
        program: a piecewise-linear traced network or a tail of it.
        x: one input, without the batch axis.
        box: (low, high), scalars or one number per input, to which the cell is cut.

    Raises:
        UserError: smooth activations (named), a wrong shape, x exactly on a wall or outside the box.
    """
    program.require_piecewise_linear("the polytope of a point")
    exact = program.to(torch.float64)
    affine = local_map(exact, x)
    point = affine.point.flatten().numpy()
    rows: list[tuple[np.ndarray, ...]] = []
    if box is not None:
        low, high = (np.broadcast_to(np.asarray(side, dtype=np.float64), point.shape) for side in box)
        if not ((low < point) & (point < high)).all():
            raise UserError("expected a point inside the box; it lies outside or on a side; move it or widen the box")
        eye, nobody = np.eye(len(point)), np.full(2 * len(point), BOX)
        rows.append((np.r_[eye, -eye], np.r_[high, -low], nobody, np.arange(2 * len(point))))
    matrix, shift = _walls(exact, affine, rows)
    normals, offsets, site, unit = (np.concatenate(part) for part in zip(*rows, strict=True))
    keep = _distinct(normals, offsets)
    symbols = code_of(exact, affine.point)[0].numpy()
    return Cell(point, symbols, normals[keep], offsets[keep], site[keep], unit[keep], matrix, shift)


def _walls(program: Program, affine: AffineMap, rows: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Adds the half-spaces of every site to `rows`; returns the affine map (matrix, shift)."""
    point = affine.point.flatten()
    reach = max(1.0, float(point.abs().max()))  # steps of the point's own size: differences keep their digits
    eye = torch.eye(len(point), dtype=point.dtype)
    ways = reach * torch.cat([torch.zeros_like(eye[:1]), eye])
    points = (point + ways).reshape(-1, *affine.point.shape[1:])
    numbers = {step.name: number for number, step in enumerate(program.sites)}

    def collect(step: Step, z: Tensor) -> Tensor:
        level, number = _levels(step, z), numbers[step.name]
        value, slope = level[0].numpy(), (level[1:] - level[0]).T.numpy() / reach
        size = np.linalg.norm(slope, axis=1)
        moves = size > 1e-12 * max(1.0, float(size.max(initial=0.0)))
        normal = slope[moves] / size[moves, None]
        offset = normal @ point.numpy() - value[moves] / size[moves]
        owner = _owners(step, z)[moves]
        rows.append((normal, offset, np.full(len(offset), number), owner))
        return affine.frozen[step.name](z)

    rows.append((np.empty((0, len(point))), np.empty(0), np.empty(0, dtype=int), np.empty(0, dtype=int)))
    with torch.no_grad():
        out = program.run(points, collect).flatten(1).numpy()
    matrix = (out[1:] - out[0]).T / reach
    return matrix, out[0] - matrix @ point.numpy()


def _levels(step: Step, z: Tensor) -> Tensor:
    """Functions that are negative in the cell and zero on its walls, ``[point wall]``: the first point is in it."""
    if step.switch is not None:
        flat, pieces = z.flatten(1), step.switch.pieces(z[:1]).flatten()
        parts = []
        for level, threshold in enumerate(step.switch.thresholds):
            parts += [(flat - threshold)[:, pieces == level], (threshold - flat)[:, pieces == level + 1]]
        return torch.cat(parts, 1)
    assert step.window is not None
    values = step.window.candidates(z).reshape(len(z), -1, step.window.places.shape[1])
    winner = values[0].argmax(-1)
    lead = values.gather(2, winner.expand(len(z), -1)[..., None])
    return (values - lead)[:, _losers(values[0], winner)]


def _losers(values: Tensor, winner: Tensor) -> Tensor:
    other = torch.arange(values.shape[1]) != winner[:, None]
    return other & ~torch.isinf(values)


def _owners(step: Step, z: Tensor) -> np.ndarray:
    """The unit of each function of `_levels`."""
    if step.switch is not None:
        pieces = step.switch.pieces(z[:1]).flatten()
        levels = range(len(step.switch.thresholds))
        return torch.cat([(pieces == k).nonzero()[:, 0] for level in levels for k in (level, level + 1)]).numpy()
    assert step.window is not None
    values = step.window.candidates(z[:1]).reshape(-1, step.window.places.shape[1])
    return _losers(values, values.argmax(-1)).nonzero()[:, 0].numpy()


def _distinct(normals: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The first of walls that are one half-space (copies of a unit), in order."""
    rounded = np.round(np.c_[normals, offsets], 9) + 0.0  # + 0.0: no negative zeros
    return np.sort(np.unique(rounded, axis=0, return_index=True)[1])
