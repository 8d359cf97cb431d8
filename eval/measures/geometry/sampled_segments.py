"""Crossings of a segment seen at samples only: for networks that are smooth or too large to be followed exactly.

Axis glossary: ``point`` samples along the segment, ``event`` a crossing.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.crossings import Crossings, Events, collected
from eval.measures.geometry.piecewise_linear import Program, code_of, site_symbols, walk


def sampled_crossings(
    program: Program, start: Tensor, end: Tensor, *, n_samples: int = 65, batch_size: int = 16
) -> Crossings:
    """How many switches differ between neighbouring samples of a segment? A `sampled lower bound`.

    Works for every traced network (smooth sites by the sign of their pre-activation) in the program's own precision; a
    crossing is placed midway between two samples. ReLU6 passing both thresholds between two samples counts once.

    Raises `UserError` for fewer than two samples or non-finite inputs.
    """
    if n_samples < 2:
        raise UserError(f"expected at least 2 samples; got {n_samples}; 65 is a start")
    points = torch.linspace(0, 1, n_samples, dtype=torch.float64)
    ends = torch.stack([start, end]).to(torch.float64)
    length = float((ends[1] - ends[0]).norm())
    names = tuple(step.site for step in program.sites)
    events = Events()
    shape = [-1] + [1] * start.dim()
    with torch.no_grad():
        for first in range(0, n_samples - 1, batch_size):
            t = points[first : first + batch_size + 1]
            x = torch.lerp(ends[0], ends[1], t.reshape(shape)).to(program.dtype)
            for number, (step, z) in enumerate(walk(program, x)):
                code = site_symbols(step, z)
                place, unit = (code[:-1] != code[1:]).nonzero(as_tuple=True)
                middle = (t[place] + t[place + 1]) / 2
                before, after = code[place, unit].long(), code[place + 1, unit].long()
                events.add(middle, unit, before, after, number)
    found = collected(events, names, length)
    return Crossings(found.t, found.site, found.unit, found.before, found.after, names, length, "sampled lower bound")


def coarsened(found: Crossings, n_samples: int) -> Crossings:
    """What `sampled_crossings` with fewer samples would have found, without running the network again.

    Args:
        found: of a multiple of ``n_samples - 1`` intervals (`sampled_crossings` of ``2 n - 1`` samples for n).

    A unit that flips and flips back within one of the wider intervals is not seen there.
    """
    wide = np.minimum((found.t * (n_samples - 1)).astype(np.int64), n_samples - 2)
    order = np.lexsort((found.t, found.unit, found.site, wide))
    key = np.stack([wide, found.site, found.unit])[:, order]
    fresh = np.r_[True, (key[:, 1:] != key[:, :-1]).any(0)] if len(order) else np.empty(0, dtype=bool)
    starts = np.flatnonzero(fresh)
    ends = np.r_[starts[1:], len(order)] - 1 if len(order) else starts
    before, after = found.before[order][starts], found.after[order][ends]
    kept = before != after
    site, unit, gap = found.site[order][starts][kept], found.unit[order][starts][kept], key[0, starts][kept]
    t = (gap + 0.5) / (n_samples - 1)
    return Crossings(t, site, unit, before[kept], after[kept], found.sites, found.length, found.counting)


def codes_along(program: Program, start: Tensor, end: Tensor, t: Float[np.ndarray, " point"]) -> Tensor:
    """The network's own codes at places of a segment, uint8 ``[point unit]`` in float64: the check on `Crossings`."""
    places = torch.as_tensor(t, dtype=torch.float64).reshape([-1] + [1] * start.dim())
    return code_of(program.to(torch.float64), torch.lerp(start.double(), end.double(), places))
