"""Where in a plane do walls crowd? The exact length of boundary in every cell of a grid, from an exact slice.

Axis glossary: ``wall`` pieces of boundary (straight segments), ``row`` (v) and ``column`` (u) of the grid.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eval.errors import UserError

TOGETHER = 4096
"""Walls that are cut at once."""


def boundary_length(
    walls: Float[np.ndarray, "wall two two"],
    columns: Float[np.ndarray, " edge"],
    rows: Float[np.ndarray, " other"],
) -> Float[np.ndarray, "row column"]:
    """Length of wall within each grid cell, in the units of the plane; divided by a cell's area it is a density.

    A straight line of any direction meets walls of total length L in an area A with a mean density of ``2 L / (pi A)``
    [Cauchy-Crofton], so this is what is counted along lines, without choosing a line.

    Args:
        walls: end points (u, v) of each wall; what lies outside the grid is cut off.
        columns, rows: rising edges of the grid in u and in v.

    Raises `UserError` for edges that do not rise.
    """
    for name, edges in (("columns", columns), ("rows", rows)):
        if len(edges) < 2 or (np.diff(edges) <= 0).any():
            raise UserError(f"expected rising edges of at least one cell for {name}; got {len(edges)} edges")
    out = np.zeros((len(rows) - 1, len(columns) - 1))
    for start in range(0, len(walls), TOGETHER):
        _add(np.asarray(walls[start : start + TOGETHER], dtype=float), columns, rows, out)
    return out


def _add(walls: np.ndarray, columns: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Cut each wall at every grid line and give each part to the cell of its middle."""
    first, way = walls[:, 0], walls[:, 1] - walls[:, 0]
    cuts = [np.zeros((len(walls), 1)), np.ones((len(walls), 1))]
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis, edges in enumerate((columns, rows)):
            cuts.append((edges[None] - first[:, axis : axis + 1]) / way[:, axis : axis + 1])
    t = np.sort(np.clip(np.nan_to_num(np.concatenate(cuts, axis=1), nan=0.0), 0.0, 1.0), axis=1)
    length = np.diff(t, axis=1) * np.linalg.norm(way, axis=1, keepdims=True)
    middle = first[:, None] + ((t[:, 1:] + t[:, :-1]) / 2)[..., None] * way[:, None]
    column = np.searchsorted(columns, middle[..., 0], side="right") - 1
    row = np.searchsorted(rows, middle[..., 1], side="right") - 1
    inside = (column >= 0) & (column < out.shape[1]) & (row >= 0) & (row < out.shape[0]) & (length > 0)
    np.add.at(out, (row[inside], column[inside]), length[inside])
