"""The two kinds of nonlinear step that a code is made of: elementwise switches and max-pool windows.

Axis glossary: as `piecewise_linear`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Switch:
    """An elementwise activation with kinks: ``y = offsets[p] + slopes[p] z``, p the number of thresholds below z.

    A value *on* a threshold counts as below it (z = 0 is off).
    """

    thresholds: tuple[float, ...]
    slopes: tuple[float, ...]
    offsets: tuple[float, ...]

    def pieces(self, z: Tensor) -> Tensor:
        """How many thresholds lie strictly below each value; uint8, the shape of z."""
        out = (z > self.thresholds[0]).to(torch.uint8)
        for threshold in self.thresholds[1:]:
            out += z > threshold
        return out

    def value(self, z: Tensor) -> Tensor:
        """The activation itself."""
        if self.slopes == (0.0, 1.0, 0.0)[: len(self.slopes)] and self.offsets[0] == self.thresholds[0]:
            high = self.thresholds[1] if len(self.thresholds) > 1 else None
            return z.clamp(min=self.thresholds[0], max=high)  # pyright: ignore
        return self.apply(z, self.pieces(z))

    def apply(self, z: Tensor, pieces: Tensor) -> Tensor:
        """The affine function of the given pieces, also where z lies outside them."""
        if self.slopes == (0.0, 1.0) and self.offsets == (0.0, 0.0):
            return z * pieces
        out = self.slopes[0] * z + self.offsets[0]
        for p in range(1, len(self.slopes)):
            out = torch.where(pieces == p, self.slopes[p] * z + self.offsets[p], out)
        return out

    def mirrored(self, z: Tensor, pieces: Tensor) -> Tensor:
        """Each value carried into its given piece, as far beyond that piece's wall as it was before its own.

        ReLU: z becomes -z where it has to change sides, ``|z|`` with the sign of the piece. A piece between two walls
        folds what would lie beyond the second; a value already in its piece stays, and so does one on its wall.
        """
        old, walls = self.pieces(z).long(), torch.tensor(self.thresholds, dtype=z.dtype, device=z.device)
        new, last = pieces.long(), len(self.thresholds) - 1
        up = new > old
        before = torch.where(up, walls[old.clamp(max=last)] - z, z - walls[(old - 1).clamp(min=0)])
        wall = torch.where(up, walls[(new - 1).clamp(min=0)], walls[new.clamp(max=last)])
        width = torch.where(
            (new > 0) & (new <= last), walls[new.clamp(max=last)] - walls[(new - 1).clamp(min=0)], torch.inf
        )
        beyond = torch.where(before > width, width - (before % (2 * width) - width).abs(), before)
        return torch.where(new == old, z, torch.where(up, wall + beyond, wall - beyond))


@dataclass(frozen=True)
class Window:
    """A 2-d max-pool: ``places[window candidate]`` flat positions in the (height, width) plane, -1 for padding."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    ceil_mode: bool
    places: Tensor

    @property
    def dead(self) -> int:
        """The symbol of a window whose candidates are all equal (dead, or all saturated)."""
        return self.places.shape[1]

    def pool(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Maximum and flat place of its first attainment, over ``z[... channel height width]``."""
        flat = z.reshape(-1, *z.shape[-3:])
        out, places = torch.ops.aten.max_pool2d_with_indices(
            flat, list(self.kernel), list(self.stride), list(self.padding), list(self.dilation), self.ceil_mode
        )
        return out.reshape(*z.shape[:-2], *out.shape[-2:]), places.reshape(*z.shape[:-2], *out.shape[-2:])

    def candidates(self, z: Tensor) -> Tensor:
        """``[... channel window candidate]``; minus infinity where a window hangs over the edge."""
        index = self.places.clamp(min=0).to(z.device)
        out = z.flatten(-2)[..., index]
        return out.masked_fill((self.places < 0).to(z.device), -torch.inf)

    def symbols(self, z: Tensor) -> Tensor:
        """``[... channel window]`` uint8: which candidate wins (the first of equals), or `dead`."""
        highest, places = self.pool(z)
        lowest = -self.pool(-z)[0]
        table = self.places.to(z.device)
        matches = places.flatten(-2).unsqueeze(-1) == table
        winner = matches.to(torch.uint8).argmax(-1)
        dead = (highest == lowest).flatten(-2) & ((table >= 0).sum(-1) > 1)
        return torch.where(dead, self.dead, winner).to(torch.uint8)

    def pick(self, z: Tensor, places: Tensor) -> Tensor:
        """The values at fixed flat places ``[... channel out_height out_width]``: the pool with its choice frozen."""
        values = torch.gather(z.flatten(-2), -1, places.flatten(-2).expand(*z.shape[:-2], -1))
        return values.reshape(*z.shape[:-2], *places.shape[-2:])
