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

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.crossings import Crossings, Events, collected_by_segment
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
    words = {"max_values": max_values, "max_crossings": max_crossings}
    return crossings_of_segments(program, start[None], end[None], **words)[0]


def crossings_of_segments(
    program: Program, starts: Tensor, ends: Tensor, *, max_values: int = DEFAULT_MEMORY,
    max_crossings: int = 50_000_000,
) -> list[Crossings]:  # fmt: skip
    """`segment_crossings` of many segments at once, the same crossings as one by one.

    Args:
        starts, ends: ``[segment ...]`` inputs of the program, on its device. As many segments are followed together as
            `max_values` (values at one site) allows; max_crossings: of all of them.
    """
    program.require_piecewise_linear("exact crossings")
    exact = program.to(torch.float64)
    if starts.shape != ends.shape:
        raise UserError(f"expected as many starts as ends; got {list(starts.shape)} and {list(ends.shape)}")
    both = torch.stack([starts, ends], dim=1).to(torch.float64)
    lengths = (both[:, 1] - both[:, 0]).flatten(1).norm(dim=1).tolist()
    names = tuple(step.site for step in program.sites)
    events = Events()
    exact.begin(both.flatten(0, 1))
    with torch.no_grad():
        pending = [(np.flatnonzero(np.array(lengths) > 0), 0.0, 1.0)]
        while pending:
            chosen, low, high = pending.pop()
            if not len(chosen):
                continue
            found = Events()
            try:
                _follow(exact, both, chosen, (low, high), found, max_values)
            except _TooManyValues:
                pending += _halves(chosen, low, high)
                continue
            events.rows += found.rows
            if events.count > max_crossings:
                raise UserError(
                    f"more than {max_crossings} crossings between the two points; start from a later layer, or sample"
                )
    return collected_by_segment(events, names, lengths)


def _halves(chosen: np.ndarray, low: float, high: float) -> list[tuple[np.ndarray, float, float]]:
    """Fewer segments, or two parts of one, the earlier part last (it is taken up first)."""
    if len(chosen) > 1:
        middle = len(chosen) // 2
        return [(chosen[middle:], low, high), (chosen[:middle], low, high)]
    seam = low + SEAM * (high - low)
    return [(chosen, seam, high), (chosen, low, seam)]


@dataclass
class _Vertices:
    """Breakpoints of all segments one after the other: t and the segment of each, ``[vertex]``.

    inner ``[vertex - 1]``: whether a piece lies within a segment (else it leads from one segment's end to the next).
    """

    t: np.ndarray
    segment: np.ndarray

    def __post_init__(self) -> None:
        self.inner = self.segment[:-1] == self.segment[1:]
        self.single = bool(self.inner.all())


def _follow(
    program: Program, both: Tensor, chosen: np.ndarray, part: tuple[float, float], events: Events, budget: int
) -> None:
    """Walk the network once along a part of some segments; at each site record crossings and refine all live values.

    Values stay on the device in blocks; the few breakpoints and roots are sorted and merged on the host (NumPy).
    """
    at = _Vertices(np.tile(np.array(part), len(chosen)), np.repeat(chosen, 2))
    ends = both[torch.from_numpy(chosen).to(both.device)]
    places = torch.tensor(part, dtype=both.dtype, device=both.device).reshape(1, -1, *[1] * (both.dim() - 2))
    live = program.begin(torch.lerp(ends[:, :1], ends[:, 1:], places).flatten(0, 1))
    position, number = program.advance(live, 0), 0
    last = max((i for i, step in enumerate(program.steps) if step.kind != "affine"), default=-1)
    while position < len(program.steps):
        step = program.steps[position]
        z = live[step.source]
        candidates = step.window.places.shape[1] if step.window is not None else 1
        _check_budget(step, z.numel() * candidates, len(at.t), len(chosen), part, budget)
        find = _switch_roots if step.switch is not None else _envelope_roots
        piece, weight, forced = find(step, z, at, events, number)
        if position == last:
            return
        if len(piece):
            at = _refine(live, at, piece, weight, forced, step)
        z = live[step.source]
        live[step.name] = step.switch.value(z) if step.switch is not None else step.window.pool(z)[0]  # type: ignore
        program.release(live, position)
        position, number = program.advance(live, position + 1), number + 1


def _check_budget(step: Step, needed: int, n_vertices: int, n: int, part: tuple[float, float], budget: int) -> None:
    """Divide what does not fit, and refuse what no division can make fit."""
    if needed <= budget:
        return
    if n > 1:
        raise _TooManyValues
    if n_vertices == 2:  # no breakpoint yet: a shorter segment needs as much
        raise UserError(
            f"expected max_values of at least {needed}, two points of {step.site}; got {budget}; "
            "raise it or start from a later layer"
        )
    if part[1] - part[0] > 1e-9:
        raise _TooManyValues


Roots = tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]


def _between(t: np.ndarray, piece: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Places within pieces, as `torch.lerp` rounds them: exact at both ends."""
    left, right = t[piece], t[piece + 1]
    return np.where(weight < 0.5, left + weight * (right - left), right - (right - left) * (1 - weight))


def _switch_roots(step: Step, z: Tensor, at: _Vertices, events: Events, number: int) -> Roots:
    """Roots of an elementwise switch: piece, place within it, and (unit, threshold value) to force there."""
    assert step.switch is not None
    flat = z.reshape(len(z), -1).contiguous()
    inner = None if at.single else torch.from_numpy(at.inner).to(z.device)[:, None]
    found = []
    for level, threshold in enumerate(step.switch.thresholds):
        s = flat - threshold if threshold else flat
        above = s > 0
        changes = above[:-1] != above[1:]
        place = (changes if inner is None else changes & inner).view(-1).nonzero()[:, 0]
        near = s.view(-1)
        left = near.index_select(0, place).cpu().numpy()
        right = near.index_select(0, place + flat.shape[1]).cpu().numpy()
        piece, unit = np.divmod(place.cpu().numpy(), flat.shape[1])
        inside = (left != 0) & (right != 0)  # a zero at a breakpoint is no root inside the piece
        if not inside.all():
            _touching(s, above, at, events, number, level)
            piece, unit, left, right = piece[inside], unit[inside], left[inside], right[inside]
        weight = left / (left - right)
        rising = (right > 0).astype(np.int64)
        where = _between(at.t, piece, weight)
        events.add(where, unit, level + 1 - rising, level + rising, number, at.segment[piece])
        found.append((piece, weight, unit, np.full(len(unit), threshold)))
    piece, weight, unit, value = found[0] if len(found) == 1 else map(np.concatenate, zip(*found, strict=True))
    return piece, weight, (unit, value)


def _touching(s: Tensor, above: Tensor, at: _Vertices, events: Events, number: int, level: int) -> None:
    """Symbols that change exactly at an existing breakpoint, where the value is exactly on the threshold.

    One of the two pieces there changes sign as well: there is nothing to find where every root lies inside its piece.
    """
    within = torch.from_numpy(at.inner[1:] & at.inner[:-1]).to(s.device)[:, None]
    changes = (s[1:-1] == 0) & (above[:-2] != above[2:]) & within
    vertex, unit = changes.nonzero(as_tuple=True)
    rising = above[vertex + 2, unit].long().cpu().numpy()
    middle = vertex.cpu().numpy() + 1
    events.add(at.t[middle], unit, level + 1 - rising, level + rising, number, at.segment[middle])


def _refine(
    live: dict[str, Tensor],
    at: _Vertices,
    piece: np.ndarray,
    weight: np.ndarray,
    forced: tuple[np.ndarray, np.ndarray] | None,
    step: Step,
) -> _Vertices:
    """Insert the roots as breakpoints and into every live value; the switched unit is exactly on its kink."""
    t = at.t
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
    segment = at.segment[all_pieces]
    segment[-1] = at.segment[-1]
    return _Vertices(_between(t, all_pieces, all_weights), segment)


def _envelope_roots(step: Step, z: Tensor, at: _Vertices, events: Events, number: int) -> Roots:
    """Kinks of max-pool: along each piece, follow the upper envelope of every window from the left winner on."""
    window, t = step.window, torch.from_numpy(at.t).to(z.device)
    assert window is not None
    values = window.candidates(z).reshape(len(z), -1, window.places.shape[1])
    left, right = values[:-1], values[1:]
    slope = (right - left).nan_to_num(nan=-torch.inf)
    finite = torch.where(torch.isinf(values), 0.0, values).abs().amax(-1)
    rounding = (ROUNDING * torch.maximum(finite[:-1], finite[1:]))[..., None]
    first = _winner(left, slope, rounding)
    final = _winner(right, -slope, rounding)
    inner = torch.from_numpy(at.inner).to(z.device)
    piece, unit = ((first != final) & inner[:, None]).nonzero(as_tuple=True)
    _symbol_changes(values, first, final, at, events, number, window.dead)
    a, b, slack = left[piece, unit], slope[piece, unit], rounding[piece, unit]
    current, goal = first[piece, unit], final[piece, unit]
    segment = torch.from_numpy(at.segment).to(z.device)
    place = torch.zeros(len(piece), dtype=z.dtype, device=z.device)
    out_pieces, out_weights = [piece[:0]], [place[:0]]
    while len(piece):
        value, rate = _take(a, current), _take(b, current)
        gain = b - rate[:, None]
        ahead = a + b - (value + rate)[:, None] > slack  # candidates that are really above by the end of the piece
        root = torch.where(ahead, (value[:, None] - a) / gain, torch.inf)
        root = root.nan_to_num(nan=torch.inf).clamp(min=0).maximum(place[:, None])
        soonest = root.min(1).values
        ties = (root <= soonest[:, None]) & ahead
        following = torch.where(ties, b, -torch.inf).argmax(1)
        keep = (soonest < 1) & (current != goal)
        piece, unit, a, b, slack, goal = (v[keep] for v in (piece, unit, a, b, slack, goal))
        current, following, place = current[keep], following[keep], soonest[keep]
        where = t[piece] + place * (t[piece + 1] - t[piece])
        events.add(where, unit, current, following, number, segment[piece].cpu().numpy())
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
    values: Tensor, first: Tensor, final: Tensor, at: _Vertices, events: Events, number: int, dead: int
) -> None:
    """Winner changes exactly at a vertex, and windows that die or come alive there."""
    highest = values.amax(-1, keepdim=True)
    level = (torch.isinf(values) | (values == highest)).all(-1) & ((~torch.isinf(values)).sum(-1) > 1)
    flat = level[:-1] & level[1:]  # equal at both ends: equal throughout
    enter = torch.where(flat, torch.tensor(dead, device=values.device), first)
    leave = torch.where(flat, torch.tensor(dead, device=values.device), final)
    within = torch.from_numpy(at.inner[1:] & at.inner[:-1]).to(values.device)[:, None]
    vertex, unit = ((leave[:-1] != enter[1:]) & within).nonzero(as_tuple=True)
    middle = vertex.cpu().numpy() + 1
    before, after = leave[vertex, unit], enter[vertex + 1, unit]
    events.add(at.t[middle], unit, before, after, number, at.segment[middle])
