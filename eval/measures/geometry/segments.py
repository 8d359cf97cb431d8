"""How many polytope boundaries lie on the straight line between two inputs? Exactly, by following the kinks.

Axis glossary: ``vertex`` breakpoints along the segment in order, ``piece`` what lies between two of them, ``unit``,
``event`` a crossing.

A piecewise-linear network restricted to a segment is piecewise linear in t. Keep the breakpoints and the activations
there (float64). An affine step maps activations at breakpoints to activations at breakpoints; at a ReLU, every sign
change between neighbours gets its root as a new breakpoint, at which all live values are interpolated (exactly, they
are linear there); max-pool windows add the kinks of their upper envelope. Nothing is sampled and no event queue is
needed. Black et al. (2022) sample; sampling never finds more.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.crossings import Crossings, Events, collected
from eval.measures.geometry.piecewise_linear import Program, Step

DEFAULT_MEMORY = 2**28
"""Values held at one site (breakpoints x units) before a segment is halved: 2 GiB in float64."""


ROUNDING = 1e-13
"""Candidates of a max-pool window closer than this share of the window's values are copies of one another."""
SEAM = 0.4931802
"""Where a segment that does not fit is divided: off the places (1/2, 1/3) where a kink could lie by construction."""


class _TooManyValues(Exception):
    """A site of the refined segment does not fit the memory budget."""


def segment_crossings(
    program: Program, start: Tensor, end: Tensor, *, max_values: int = DEFAULT_MEMORY, max_crossings: int = 50_000_000
) -> Crossings:
    """Which switches flip between two inputs, where, and how often? Exact for piecewise-linear networks.

    Args:
        program: from `trace(...)`, cast to float64 here; a tail counts the boundaries of its own sites only.
        start, end: inputs of the program without the batch axis.
        max_values: memory budget in values per site; a larger segment is halved and the halves added up.
        max_crossings: refuse beyond this.

    Returns:
        `Crossings`, sorted by t, with ``counting="exact"``. A boundary exactly at an end point is not counted. A unit
        that is zero along a stretch is off there.

    Raises:
        UserError: smooth activations (named), wrong shapes, non-finite inputs, more than `max_crossings`, and a
            `max_values` that no halving can meet.

    Reference: the count equals that of arbitrarily dense sampling, and is never lower.
    """
    program.require_piecewise_linear("exact crossings")
    exact = program.to(torch.float64)
    ends = torch.stack([start, end]).to(torch.float64)
    length = float((ends[1] - ends[0]).norm())
    names = tuple(step.site for step in program.sites)
    events = Events()
    exact.begin(ends)
    with torch.no_grad():
        pending = [(0.0, 1.0)] if length > 0 else []
        while pending:
            low, high = pending.pop()
            found = Events()
            try:
                _follow(exact, ends, low, high, found, max_values)
            except _TooManyValues:
                middle = low + SEAM * (high - low)
                pending += [(middle, high), (low, middle)]
                continue
            events.rows += found.rows
            if sum(len(row[0]) for row in events.rows) > max_crossings:
                raise UserError(
                    f"more than {max_crossings} crossings between the two points; start from a later layer, or sample"
                )
    return collected(events, names, length)


def _follow(program: Program, ends: Tensor, low: float, high: float, events: Events, budget: int) -> None:
    """Walk the network once along [low, high]; at each site record crossings and refine every live value.

    Values stay on the device in blocks; the few breakpoints and roots are sorted and merged on the host (NumPy).
    """
    t = np.array([low, high])
    places = torch.from_numpy(t).to(ends.device).reshape(-1, *[1] * (ends.dim() - 1))
    live = program.begin(torch.lerp(ends[0], ends[1], places))
    position, number = program.advance(live, 0), 0
    last = max((i for i, step in enumerate(program.steps) if step.kind != "affine"), default=-1)
    while position < len(program.steps):
        step = program.steps[position]
        z = live[step.source]
        candidates = step.window.places.shape[1] if step.window is not None else 1
        if len(t) == 2 and z.numel() * candidates > budget:  # no breakpoint yet: a shorter segment needs as much
            raise UserError(
                f"expected max_values of at least {z.numel() * candidates}, two points of {step.site}; got {budget}; "
                "raise it or start from a later layer"
            )
        if z.numel() * candidates > budget and high - low > 1e-9:
            raise _TooManyValues
        find = _switch_roots if step.switch is not None else _envelope_roots
        piece, weight, forced = find(step, z, t, events, number)
        if position == last:
            return
        if len(piece):
            t = _refine(live, t, piece, weight, forced, step)
        z = live[step.source]
        live[step.name] = step.switch.value(z) if step.switch is not None else step.window.pool(z)[0]  # type: ignore
        program.release(live, position)
        position, number = program.advance(live, position + 1), number + 1


Roots = tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]


def _between(t: np.ndarray, piece: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Places within pieces, as `torch.lerp` rounds them: exact at both ends."""
    left, right = t[piece], t[piece + 1]
    return np.where(weight < 0.5, left + weight * (right - left), right - (right - left) * (1 - weight))


def _switch_roots(step: Step, z: Tensor, t: np.ndarray, events: Events, number: int) -> Roots:
    """Roots of an elementwise switch: piece, place within it, and (unit, threshold value) to force there."""
    assert step.switch is not None
    flat = z.reshape(len(z), -1).contiguous()
    found = []
    for level, threshold in enumerate(step.switch.thresholds):
        s = flat - threshold if threshold else flat
        above = s > 0
        place = (above[:-1] != above[1:]).view(-1).nonzero()[:, 0]
        near = s.view(-1)
        left = near.index_select(0, place).cpu().numpy()
        right = near.index_select(0, place + flat.shape[1]).cpu().numpy()
        piece, unit = np.divmod(place.cpu().numpy(), flat.shape[1])
        inside = (left != 0) & (right != 0)  # a zero at a breakpoint is no root inside the piece
        if not inside.all():
            _touching(s, above, t, events, number, level)
            piece, unit, left, right = piece[inside], unit[inside], left[inside], right[inside]
        weight = left / (left - right)
        rising = (right > 0).astype(np.int64)
        events.add(_between(t, piece, weight), unit, level + 1 - rising, level + rising, number)
        found.append((piece, weight, unit, np.full(len(unit), threshold)))
    piece, weight, unit, value = found[0] if len(found) == 1 else map(np.concatenate, zip(*found, strict=True))
    return piece, weight, (unit, value)


def _touching(s: Tensor, above: Tensor, t: np.ndarray, events: Events, number: int, level: int) -> None:
    """Symbols that change exactly at an existing breakpoint, where the value is exactly on the threshold.

    One of the two pieces there changes sign as well: there is nothing to find where every root lies inside its piece.
    """
    changes = (s[1:-1] == 0) & (above[:-2] != above[2:])
    vertex, unit = changes.nonzero(as_tuple=True)
    rising = above[vertex + 2, unit].long().cpu().numpy()
    events.add(t[vertex.cpu().numpy() + 1], unit, level + 1 - rising, level + rising, number)


def _refine(
    live: dict[str, Tensor],
    t: np.ndarray,
    piece: np.ndarray,
    weight: np.ndarray,
    forced: tuple[np.ndarray, np.ndarray] | None,
    step: Step,
) -> np.ndarray:
    """Insert the roots as breakpoints into t and into every live value; the switched unit is exactly on its kink."""
    order = np.lexsort((weight, piece))
    piece, weight = piece[order], weight[order]
    fresh = np.ones(len(piece), dtype=bool)
    fresh[1:] = (piece[1:] != piece[:-1]) | (weight[1:] != weight[:-1])  # copies of one unit share one breakpoint
    rank = fresh.cumsum() - 1  # of each root among the distinct ones
    piece, weight = piece[fresh], weight[fresh]
    old = np.arange(len(t))
    new_place = np.arange(len(piece)) + piece + 1
    all_pieces = np.empty(len(t) + len(piece), dtype=np.int64)
    all_weights = np.zeros(len(all_pieces))
    old_place = old + np.searchsorted(piece, old)  # roots of earlier pieces stand before a vertex
    all_pieces[old_place], all_pieces[new_place] = np.minimum(old, len(t) - 2), piece
    all_weights[new_place] = weight
    all_weights[-1] = 1.0
    device = live[step.source].device
    left, weights = torch.from_numpy(all_pieces).to(device), torch.from_numpy(all_weights).to(device)[:, None]
    right = left + 1
    for name, value in live.items():
        flat = value.reshape(len(value), -1)
        new = flat.index_select(0, left)
        new.lerp_(flat.index_select(0, right), weights)
        if name == step.source and forced is not None:
            unit, kink = (torch.from_numpy(v[order]).to(device) for v in forced)
            new[torch.from_numpy(new_place[rank]).to(device), unit] = kink
        live[name] = new.reshape(len(new), *value.shape[1:])
    return _between(t, all_pieces, all_weights)


def _envelope_roots(step: Step, z: Tensor, breakpoints: np.ndarray, events: Events, number: int) -> Roots:
    """Kinks of max-pool: along each piece, follow the upper envelope of every window from the left winner on."""
    window, t = step.window, torch.from_numpy(breakpoints).to(z.device)
    assert window is not None
    values = window.candidates(z).reshape(len(z), -1, window.places.shape[1])
    left, right = values[:-1], values[1:]
    slope = (right - left).nan_to_num(nan=-torch.inf)
    finite = torch.where(torch.isinf(values), 0.0, values).abs().amax(-1)
    rounding = (ROUNDING * torch.maximum(finite[:-1], finite[1:]))[..., None]
    first = _winner(left, slope, rounding)
    final = _winner(right, -slope, rounding)
    piece, unit = (first != final).nonzero(as_tuple=True)
    _symbol_changes(values, first, final, t, events, number, window.dead)
    a, b, slack = left[piece, unit], slope[piece, unit], rounding[piece, unit]
    current, goal = first[piece, unit], final[piece, unit]
    place = torch.zeros(len(piece), dtype=z.dtype, device=z.device)
    out_pieces, out_weights = [piece[:0]], [place[:0]]
    while len(piece):
        at, rate = _take(a, current), _take(b, current)
        gain = b - rate[:, None]
        ahead = a + b - (at + rate)[:, None] > slack  # candidates that are really above by the end of the piece
        root = torch.where(ahead, (at[:, None] - a) / gain, torch.inf)
        root = root.nan_to_num(nan=torch.inf).clamp(min=0).maximum(place[:, None])
        soonest = root.min(1).values
        ties = (root <= soonest[:, None]) & ahead
        following = torch.where(ties, b, -torch.inf).argmax(1)
        keep = (soonest < 1) & (current != goal)
        piece, unit, a, b, slack, goal = (v[keep] for v in (piece, unit, a, b, slack, goal))
        current, following, place = current[keep], following[keep], soonest[keep]
        where = t[piece] + place * (t[piece + 1] - t[piece])
        events.add(where, unit, current, following, number)
        out_pieces.append(piece)
        out_weights.append(place)
        current = following
    return torch.cat(out_pieces).cpu().numpy(), torch.cat(out_weights).cpu().numpy(), None


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[:, None])[:, 0]


def _winner(values: Tensor, slope: Tensor, rounding: Tensor) -> Tensor:
    """Highest candidate just after a vertex: by value, then by slope, then the first (within rounding)."""
    highest = values >= values.amax(-1, keepdim=True) - rounding
    ranked = torch.where(highest, slope, -torch.inf)
    return (highest & (ranked >= ranked.amax(-1, keepdim=True) - rounding)).to(torch.uint8).argmax(-1)


def _symbol_changes(
    values: Tensor, first: Tensor, final: Tensor, t: Tensor, events: Events, number: int, dead: int
) -> None:
    """Winner changes exactly at a vertex, and windows that die or come alive there."""
    highest = values.amax(-1, keepdim=True)
    level = (torch.isinf(values) | (values == highest)).all(-1) & ((~torch.isinf(values)).sum(-1) > 1)
    flat = level[:-1] & level[1:]  # equal at both ends: equal throughout
    enter = torch.where(flat, torch.tensor(dead, device=t.device), first)
    leave = torch.where(flat, torch.tensor(dead, device=t.device), final)
    vertex, unit = (leave[:-1] != enter[1:]).nonzero(as_tuple=True)
    events.add(t[vertex + 1], unit, leave[vertex, unit], enter[vertex + 1, unit], number)
