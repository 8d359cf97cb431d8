"""Intervening on a code: switches are set to the pieces of a cluster; what does the rest of the network do?

Axis glossary: ``item`` coded places or tokens, ``unit`` switches (channels of a site), ``point`` inputs, ``place``
positions of a site.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from eval.errors import UserError, known_name
from eval.measures.geometry.piecewise_linear import Program, Step, own_rule, site_symbols

Change = Callable[[Tensor], Tensor]
Values = Literal["continued", "mirrored"]
"""What a switch that is set by hand passes on: `continued`, the affine function of the piece at the switch's own
pre-activation, outside the piece; `mirrored`, the activation at the pre-activation mirrored into the piece, so that
the point has the code that was set."""
KINDS_OF_VALUES: tuple[Values, ...] = get_args(Values)


@dataclass(frozen=True)
class ClusterCode:
    """What sets a cluster's codes apart: units ``[chosen]``, the piece most of its members are on ``[chosen]``, and the
    share of members and of other items that are on it."""

    units: Int[np.ndarray, " chosen"]
    pieces: UInt8[np.ndarray, " chosen"]
    share_inside: Float[np.ndarray, " chosen"]
    share_outside: Float[np.ndarray, " chosen"]


def cluster_code(
    pieces: UInt8[np.ndarray, "item unit"], inside: Bool[np.ndarray, " item"], count: int = 16
) -> ClusterCode:
    """The `count` units whose most frequent piece in the cluster is rarest outside it, against its share inside.

    Raises `UserError` for a cluster of no item or of all items.
    """
    if not 0 < inside.sum() < len(inside):
        raise UserError(f"expected a cluster of some of the items; got {int(inside.sum())} of {len(inside)}")
    shares = np.stack([(pieces[inside] == piece).mean(0) for piece in range(int(pieces.max()) + 1)])
    most = shares.argmax(0).astype(np.uint8)
    own = shares.max(0)
    others = (pieces[~inside] == most).mean(0)
    chosen = np.argsort(others - own, kind="stable")[:count]
    return ClusterCode(chosen, most[chosen], own[chosen], others[chosen])


@dataclass(frozen=True)
class Forced:
    """before, after: the network's outputs ``[point ...]``; flipped: switches of the site that were moved ``[point]``;
    later: share of the switches after the site whose piece changed ``[point]``."""

    before: Tensor
    after: Tensor
    flipped: Tensor
    later: Tensor


def set_pieces(code: ClusterCode) -> Change:
    """Every place takes the cluster's pieces at the cluster's units."""
    units, wanted = torch.as_tensor(code.units), torch.as_tensor(code.pieces)

    def change(pieces: Tensor) -> Tensor:
        out = pieces.clone()
        out[:, units] = wanted[:, None].to(out)
        return out

    return change


def as_many_at_random(code: ClusterCode, n_pieces: int, seed: int = 0) -> Change:
    """The control: each place has as many switches moved as `set_pieces` would move there, at units drawn at random,
    each to a neighbouring piece."""
    whole = set_pieces(code)
    generator = torch.Generator().manual_seed(seed)

    def change(pieces: Tensor) -> Tensor:
        count = (whole(pieces) != pieces).sum(1, keepdim=True)
        rank = torch.rand(pieces.shape, generator=generator).to(pieces.device).argsort(1).argsort(1)
        up = torch.rand(pieces.shape, generator=generator).to(pieces.device) < 0.5
        beside = torch.where((up & (pieces < n_pieces - 1)) | (pieces == 0), pieces + 1, pieces - 1)
        return torch.where(rank < count, beside, pieces)

    return change


def force_codes(program: Program, x: Tensor, site: str, change: Change, values: Values = "continued") -> Forced:
    """What does the network compute when some switches of one site are set by hand?

    Continued, a ReLU set on passes its own, negative, value on; mirrored, that value's opposite. One set off gives 0
    either way.

    Args:
        program: traced; x: inputs ``[point ...]``; site: of elementwise switches, with units on the first axis of a
            point (channels). change: new pieces from old ones, both ``[point unit place]`` uint8. values: see `Values`.

    Raises `UserError` for an unknown site, and for one that is a max-pool or smooth.
    """
    known_name(site, [step.site for step in program.sites], "site")
    chosen = next(step for step in program.sites if step.site == site)
    if chosen.switch is None:
        raise UserError(f"expected a site of elementwise switches; got {site!r}, a {chosen.kind}; choose another")
    n, flipped, later, units = len(x), torch.zeros(len(x)), torch.zeros(len(x)), 0
    reached = False

    def rule(step: Step, z: Tensor) -> Tensor:
        nonlocal flipped, later, units, reached
        if step is chosen:
            reached = True
            assert step.switch is not None
            old = step.switch.pieces(z[n:])
            new = change(_by_unit(old)).reshape(old.shape)
            flipped = (new != old).flatten(1).sum(1)
            own, moved = step.switch.value(z[:n]), z[n:]
            if values == "mirrored":
                return torch.cat([own, step.switch.value(step.switch.mirrored(moved, new))])
            return torch.cat([own, step.switch.apply(moved, new)])
        if reached:
            symbols = site_symbols(step, z)
            later = later + (symbols[:n] != symbols[n:]).sum(1)
            units += symbols.shape[1]
        return own_rule(step, z)

    with torch.no_grad():
        out = program.run(torch.cat([x, x]), rule)
    return Forced(out[:n], out[n:], flipped, later / max(1, units))


def _by_unit(pieces: Tensor) -> Tensor:
    """``[point unit place]``: without the traced batch axis of one, positions flattened."""
    whole = pieces.squeeze(1) if pieces.dim() > 2 and pieces.shape[1] == 1 else pieces
    return whole.reshape(*whole.shape[:2], -1)
