"""Many polytopes: all cells in a box, the nearest cells of a point, and who borders on whom.

Axis glossary: ``cell``; ``edge`` pairs of cells that share a facet (the dual graph).

From a cell, one small step through each of its facets leads into the neighbour; cells are told apart by their codes.
Two cells of one code do not exist, for a code fixes the walls. A box is convex, so walking through facets reaches every
cell in it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.cell_walls import cell_of
from eval.measures.geometry.cells import BOX, Cell
from eval.measures.geometry.piecewise_linear import Program, code_of
from eval.scores import Score

STEPS = (1e-3, 1e-5, 1e-7)
"""Steps across a facet, as a share of the cell's inradius (at most 1): shorter ones for thinner neighbours."""
Box = tuple[np.ndarray | float, np.ndarray | float]


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


def neighbours(program: Program, cell: Cell) -> list[tuple[int, Float[np.ndarray, " in"], bytes] | None]:
    """Across each facet that is no side of the box: (wall, a point of the neighbour, its code); None for a neighbour
    thinner than the shortest step."""
    exact = program.to(torch.float64)
    inner = np.flatnonzero(cell.site[cell.facets] != BOX)
    walls, starts = cell.facets[inner], cell.facet_points[inner]
    out: list[tuple[int, np.ndarray, bytes] | None] = [None] * len(walls)
    scale = min(1.0, cell.inradius)
    for step in STEPS:
        left = [i for i in range(len(walls)) if out[i] is None]
        if not left:
            break
        near = starts[left] + step * scale * cell.normals[walls[left]]
        nearer = starts[left] + step * scale / 8 * cell.normals[walls[left]]
        with torch.no_grad():
            codes = code_of(exact, _points(program, np.r_[near, nearer])).numpy()
        for row, i in enumerate(left):
            first, second = codes[row].tobytes(), codes[len(left) + row].tobytes()
            if first == second != cell.key and cell.inside_box(near[row]):
                out[i] = (int(walls[i]), near[row], first)
    return out


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
    """Breadth first, or by the distance to a point; a cell is made when it is met and listed when its turn comes."""
    made: dict[bytes, Cell] = {first.key: first}
    rank: dict[bytes, int] = {}
    queue: list[tuple[float, int, bytes]] = [(0.0, 0, first.key)]
    links: set[tuple[bytes, bytes]] = set()
    thin = 0
    while queue and len(rank) < most:
        _, _, key = heapq.heappop(queue)
        rank[key] = len(rank)
        for found in neighbours(program, made[key]):
            if found is None:
                thin += 1
                continue
            _, point, other = found
            links.add((min(key, other), max(key, other)))
            if other not in made:
                made[other] = cell_of(program, _points(program, point[None])[0], box)
                far = made[other].distance(towards) if towards is not None else 0.0
                heapq.heappush(queue, (far, len(made), other))
    pairs = sorted((min(rank[a], rank[b]), max(rank[a], rank[b])) for a, b in links if a in rank and b in rank)
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return CellComplex(tuple(made[key] for key in rank), edges, not queue and thin == 0, thin)


def _points(program: Program, rows: Float[np.ndarray, "point in"]) -> Tensor:
    return torch.as_tensor(rows, dtype=torch.float64).reshape(-1, *program.input_shape)
