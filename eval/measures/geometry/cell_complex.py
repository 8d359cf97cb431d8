"""Many polytopes: all cells in a box, the nearest cells of a point, and who borders on whom.

Axis glossary: ``cell``; ``edge`` pairs of cells that share a facet (the dual graph).

From a cell, one small step through each of its facets leads into the neighbour; cells are told apart by their codes.
Two cells of one code do not exist, for a code fixes the walls. A box is convex, so walking through facets reaches every
cell in it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.cell_walls import Box, cell_of, cells_of
from eval.measures.geometry.cells import BOX, Cell
from eval.measures.geometry.piecewise_linear import Program, code_of
from eval.scores import Score

STEPS = (1e-3, 1e-5, 1e-7)
"""Steps across a facet, as a share of the cell's inradius (at most 1): shorter ones for thinner neighbours."""


@dataclass(frozen=True)
class CellComplex:
    """Cells in the order found, `edges` between those that share a facet (each once, first < second).

    complete: every cell was visited; False where `max_cells` ended the walk, or a neighbour too thin to step into
    (`thin` counts these) was passed over.
    """

    cells: tuple[Cell, ...]
    edges: Int[np.ndarray, "edge two"]
    complete: bool
    thin: int

    @property
    def volume(self) -> Score:
        """Of all cells together; undefined, with the reason, where a cell's is."""
        parts = [cell.volume for cell in self.cells]
        bad = next((part for part in parts if part.value is None), None)
        return bad if bad is not None else Score(float(sum(part.value or 0.0 for part in parts)), n=len(parts))


Across = tuple[int, Float[np.ndarray, " in"], bytes] | None
"""The wall, a point of the cell behind it, and its code; None where that cell is thinner than the shortest step."""


def neighbours(program: Program, cell: Cell) -> list[Across]:
    """What lies across each facet that is no side of the box."""
    return _neighbours(program, [cell])[0]


def _neighbours(program: Program, cells: Sequence[Cell]) -> list[list[Across]]:
    """`neighbours` of several cells, their points through the network together."""
    exact = program.to(torch.float64)
    inner = [cell.facets[cell.site[cell.facets] != BOX] for cell in cells]
    owner = np.repeat(np.arange(len(cells)), [len(walls) for walls in inner])
    walls = np.concatenate(inner)
    starts = np.concatenate([cell.facet_points[cell.site[cell.facets] != BOX] for cell in cells])
    ways = np.concatenate([cell.normals[of] for cell, of in zip(cells, inner, strict=True)])
    scale = np.array([min(1.0, cell.inradius) for cell in cells])[owner, None]
    out: list[list[Across]] = [[None] * len(of) for of in inner]
    place = np.concatenate([np.arange(len(of)) for of in inner])
    left = np.arange(len(walls))
    for step in STEPS:
        if not len(left):
            break
        near, nearer = (starts[left] + share * scale[left] * ways[left] for share in (step, step / 8))
        with torch.no_grad():
            codes = code_of(exact, _points(program, np.r_[near, nearer])).numpy()
        inside = _inside_boxes(cells, owner[left], near)
        same = (codes[: len(left)] == codes[len(left) :]).all(1) & inside
        for row in np.flatnonzero(same):
            i, key = int(left[row]), codes[row].tobytes()
            mine = int(owner[i])
            same[row] = key != cells[mine].key
            if same[row]:
                out[mine][int(place[i])] = (int(walls[i]), near[row], key)
        left = left[~same]
    return out


def _inside_boxes(cells: Sequence[Cell], owner: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points lie in the box of their cell; points are in the order of their owners."""
    parts = np.split(points, np.searchsorted(owner, np.arange(1, len(cells))))
    return np.concatenate([cell.inside_box(part) for cell, part in zip(cells, parts, strict=True)])


def cells_in_box(
    program: Program, low: np.ndarray | float, high: np.ndarray | float, *, max_cells: int = 10_000
) -> CellComplex:
    """Which polytopes does a box hold? All of them, breadth first from its middle; for few dimensions.

    Args:
        program: a piecewise-linear traced network or a tail of it.
        low, high: corners of the box, scalars or one number per input.
        max_cells: stop there; the result is then a part and says so.

    Raises:
        UserError: smooth activations (named), an empty box, a limit below 1.
    """
    shape = (int(torch.Size(program.input_shape).numel()),)
    low, high = (np.broadcast_to(np.asarray(side, dtype=np.float64), shape) for side in (low, high))
    if not (low < high).all() or max_cells < 1:
        raise UserError(
            f"expected low < high and at least 1 cell; got max_cells={max_cells}; give a box with an inside"
        )
    start = low + (high - low) * np.random.default_rng(0).uniform(0.45, 0.55, size=shape)  # off walls of symmetric nets
    first = cell_of(program, _points(program, start[None])[0], (low, high))
    return _walk(program, first, (low, high), max_cells, None)


def nearest_cells(program: Program, x: Tensor, k: int, box: Box | None = None) -> tuple[CellComplex, np.ndarray]:
    """The k cells nearest to a point, its own first, and their distances ``[cell]``, rising; in any dimension.

    Best first by the exact distance of the point to a cell. The straight line to a cell passes through nearer ones
    only, so none is missed.

    Raises:
        UserError: as `cell_of`; k below 1.
    """
    if k < 1:
        raise UserError(f"expected at least 1 cell; got k={k}")
    first = cell_of(program, x, box)
    found = _walk(program, first, box, k, first.point)
    return found, np.array([cell.distance(first.point) for cell in found.cells])


def _walk(program: Program, first: Cell, box: Box | None, most: int, towards: np.ndarray | None) -> CellComplex:
    """Breadth first, or by the distance to a point; a cell is made when it is met and listed when its turn comes.

    Those of one distance take their turn together, which without a point are all that have been met.
    """
    made: dict[bytes, Cell] = {first.key: first}
    rank: dict[bytes, int] = {}
    queue: list[tuple[float, int, bytes]] = [(0.0, 0, first.key)]
    links: set[tuple[bytes, bytes]] = set()
    thin, left_out = 0, False
    while queue and len(rank) < most:
        wave = _least(queue, most - len(rank))
        rank |= {key: turn for turn, key in enumerate(wave, len(rank))}
        fresh: dict[bytes, np.ndarray] = {}
        for key, found in zip(wave, _neighbours(program, [made[key] for key in wave]), strict=True):
            thin += sum(across is None for across in found)
            for _, point, other in (across for across in found if across is not None):
                links.add((min(key, other), max(key, other)))
                if other not in made:
                    fresh.setdefault(other, point)
        if towards is None and len(fresh) > most - len(rank):  # these would never be listed
            fresh, left_out = dict(islice(fresh.items(), most - len(rank))), True
        if fresh:
            for cell in cells_of(program, _points(program, np.array([*fresh.values()])), box):
                made[cell.key] = cell
                far = cell.distance(towards) if towards is not None else 0.0
                heapq.heappush(queue, (far, len(made), cell.key))
    pairs = sorted((min(rank[a], rank[b]), max(rank[a], rank[b])) for a, b in links if a in rank and b in rank)
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    complete = not queue and thin == 0 and not left_out
    return CellComplex(tuple(made[key] for key in rank), edges, complete, thin)


def _least(queue: list[tuple[float, int, bytes]], most: int) -> list[bytes]:
    """Takes the keys of least distance off the queue, in the order met."""
    least, taken = queue[0][0], []
    while queue and queue[0][0] == least and len(taken) < most:
        taken.append(heapq.heappop(queue)[2])
    return taken


def _points(program: Program, rows: Float[np.ndarray, "point in"]) -> Tensor:
    return torch.as_tensor(rows, dtype=torch.float64).reshape(-1, *program.input_shape)
