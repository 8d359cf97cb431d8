"""The exact scatter matrix of a stream, in float64 accuracy at float32 speed, for two halves of the documents at once.

Three ideas keep it small and exact:

* one square holds both halves: half 0 in the upper triangle, half 1 in the lower one, the diagonals beside it;
* wide sites are *deflated*: tokens = (top directions, float64) + (rest, float32). The top directions are found in the
  first batch, so that an outlier direction with 1e5 times the variance of the rest costs the rest no digits;
* a batch whose rest still has a dominating direction (rare huge tokens) is multiplied in float64.

Axis glossary: ``token``, ``width`` (components of the site), ``top`` (deflated directions), ``half`` (0 or 1).
"""

from __future__ import annotations

import numpy as np
import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

DIRECT_WIDTH = 256
"""Up to this width everything is multiplied in float64: it is cheap."""
TOP_DIRECTIONS = 16
WIDE_RANGE = 300.0
"""Largest over mean variance of the deflated rest above which a batch is multiplied in float64."""
START_TOKENS = 512
"""Tokens of the first batch among which the top directions are sought; any basis is exact, a good one only precise."""
LEAST_COLUMN_BLOCK = 256
UNPACKED_ROWS = 256


class HalfScatter:
    """Streaming sums and second moments of two halves about a fixed shift (the mean of the first batch)."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.count = torch.zeros(2, dtype=torch.float64)
        self.sums = torch.zeros(2, width, dtype=torch.float64)
        self.square = torch.zeros(width, width, dtype=torch.float64)
        self.diagonal = torch.zeros(2, width, dtype=torch.float64)
        n_top = TOP_DIRECTIONS if width > DIRECT_WIDTH else 0
        self.shift = torch.zeros(width, dtype=torch.float64)
        self.top = torch.zeros(width, n_top, dtype=torch.float64)
        self.top_square = torch.zeros(2, n_top, n_top, dtype=torch.float64)
        self.top_cross = torch.zeros(2, n_top, width, dtype=torch.float64)

    @staticmethod
    def bytes(width: int) -> int:
        """Memory kept, whatever the number of tokens."""
        n_top = TOP_DIRECTIONS if width > DIRECT_WIDTH else 0
        return 8 * (width * width + width * (5 + 3 * n_top) + 2 * n_top * n_top)

    def update(self, tokens: Float[Tensor, "token width"], half: np.ndarray) -> None:
        """Add tokens; ``half[token]`` is 0 or 1."""
        if not self.count.any():
            self._start(tokens)
        first = int((half == 0).sum())
        if half[:first].any():  # one gather of whole rows, then two views; none where the caller sorted them
            tokens = tokens[torch.from_numpy(np.argsort(half, kind="stable"))]
        for side, rows in enumerate((tokens[:first], tokens[first:])):
            if len(rows):
                self._add(rows, side)

    def _start(self, tokens: Tensor) -> None:
        """Choose the shift and the top directions (subspace iteration) from the first batch."""
        self.shift = (_column_sums(tokens) / len(tokens)).float().double()  # exact in both precisions
        if not self.top.shape[1]:
            return
        stride = -(-len(tokens) // START_TOKENS)
        centred = tokens[::stride].float() - self.shift.float()
        generator = torch.Generator().manual_seed(self.width)
        basis = torch.randn(self.width, self.top.shape[1], generator=generator)
        for _ in range(4):
            basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
        self.top = torch.linalg.qr(basis.double()).Q.float().double()  # exact in both precisions

    def _add(self, rows: Tensor, side: int) -> None:
        self.count[side] += len(rows)
        precise = rows.dtype == torch.float64 or not self.top.shape[1]
        along, rest = self._deflate(rows, torch.float64 if precise else torch.float32)
        if not precise and _is_wide(rest):
            along, rest = self._deflate(rows, torch.float64)
        self.sums[side] += _column_sums(rest)
        if self.top.shape[1]:
            self.sums[side] += self.top @ _column_sums(along)
            self.top_square[side] += along.double().T @ along.double()
            self.top_cross[side] += (along.T @ rest).double()
        rows = rest
        block = max(LEAST_COLUMN_BLOCK, -(-self.width // 6))  # only the upper blocks of the square are multiplied
        for first in range(0, self.width, block):
            self._add_columns(rows, side, first, min(first + block, self.width))

    def _deflate(self, rows: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
        """Components along the top directions, and the rest, about the shift, in the given precision."""
        centred = rows.to(kind) - self.shift.to(kind)
        if not self.top.shape[1]:
            return centred[:, :0], centred
        top = self.top.to(kind)
        along = centred @ top
        return along, torch.addmm(centred, along, top.T, alpha=-1)

    def _add_columns(self, rows: Tensor, side: int, first: int, end: int) -> None:
        gram = rows[:, first:end].T @ rows[:, first:]
        inner, outer = gram[:, : end - first], gram[:, end - first :]
        self.diagonal[side, first:end] += inner.diagonal()
        if side == 0:
            self.square[first:end, first:end] += inner.triu(1)
            self.square[first:end, end:] += outer
        else:
            self.square[first:end, first:end] += inner.tril(-1)
            self.square[end:, first:end] += outer.T

    def second_moment(self, side: int) -> Float[Tensor, "width width"]:
        """Sum of (x - shift)(x - shift)^T over one half."""
        moment = torch.zeros_like(self.square)
        self._unpack(side, moment)
        return moment

    def _unpack(self, side: int, moment: Tensor) -> None:
        """Add one half's second moment in place, by blocks of rows: no second matrix of this size is made."""
        for first in range(0, self.width, UNPACKED_ROWS):
            rows = slice(first, first + UNPACKED_ROWS)
            block = self.square[rows].triu(first + 1) if side == 0 else self.square[rows].tril(first - 1)
            moment[rows] += block
            moment[:, rows] += block.T
        moment.diagonal().add_(self.diagonal[side])
        if self.top.shape[1]:
            cross = self.top_cross[side] + 0.5 * self.top_square[side] @ self.top.T
            moment.addmm_(self.top, cross).addmm_(cross.T, self.top.T)

    def scatter(self, sides: tuple[int, ...] = (0, 1)) -> Float[Tensor, "width width"]:
        """Sum of (x - mean)(x - mean)^T over the given halves together."""
        moment = torch.zeros_like(self.square)
        for side in sides:
            self._unpack(side, moment)
        count, total = self.count[list(sides)].sum(), self.sums[list(sides)].sum(0)
        return moment.addr_(total, total, alpha=-1 / float(count)) if count else moment

    def mean(self) -> Float[Tensor, " width"]:
        return self.shift + self.sums.sum(0) / self.count.sum()

    def merge(self, other: HalfScatter) -> None:
        """Add another stream's tokens, whatever its shift and top directions."""
        if not other.count.any():
            return
        if not self.count.any():
            self.load(other.state())
            return
        offset = other.shift - self.shift
        for side in (0, 1):
            moment = other.second_moment(side)
            mixed = torch.outer(other.sums[side], offset)
            moment += mixed + mixed.T + other.count[side] * torch.outer(offset, offset)
            self.square += moment.triu(1) if side == 0 else moment.tril(-1)
            self.diagonal[side] += moment.diagonal()
            self.sums[side] += other.sums[side] + other.count[side] * offset
            self.count[side] += other.count[side]

    def state(self) -> dict[str, np.ndarray]:
        names = ("count", "sums", "square", "diagonal", "shift", "top", "top_square", "top_cross")
        return {name: getattr(self, name).numpy() for name in names}

    def load(self, state: dict[str, np.ndarray]) -> None:
        for name in self.state():
            setattr(self, name, torch.from_numpy(np.array(state[name])))


def _column_sums(rows: Float[Tensor, "token column"]) -> Float[Tensor, " column"]:
    """Sums over tokens: blocks of 64 in their own precision, then float64 (ten times faster than all)."""
    whole = len(rows) // 64 * 64
    blocks = reduce(rows[:whole], "(block token) column -> block column", "sum", token=64)
    return blocks.double().sum(0) + rows[whole:].double().sum(0)


def _is_wide(rows: Float[Tensor, "token width"]) -> bool:
    """Does one direction hold far more variance than the mean direction? Four steps of power iteration."""
    rows = rows.float()
    energy = float(rows.square().sum())
    direction = rows[int(rows.square().sum(1).argmax())]
    largest = 0.0
    for _ in range(4):
        norm = float(direction.norm())
        if norm == 0:
            return False
        direction = rows.T @ (rows @ (direction / norm))
        largest = float(direction.norm())
    return largest * rows.shape[1] > WIDE_RANGE * energy
