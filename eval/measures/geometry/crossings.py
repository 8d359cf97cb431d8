"""The boundaries along a segment, as one object: what exact and sampled counts return.

Axis glossary: ``event`` a crossing, ``edge`` and ``bin`` of a histogram along the segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from eval.scores import Score

Counting = Literal["exact", "sampled lower bound"]


@dataclass(frozen=True)
class Crossings:
    """The boundaries along a segment x(t) = start + t (end - start), in order of t.

    t: where, in (0, 1); site, unit: which switch; before, after: its symbol on either side (for ReLU 0 and 1).
    sites: names that `site` indexes. length: Euclidean length of the segment.
    counting: `exact` (every boundary), or a `sampled lower bound` (units that flip twice between samples are missed).
    """

    t: Float[np.ndarray, " event"]
    site: Int[np.ndarray, " event"]
    unit: Int[np.ndarray, " event"]
    before: Int[np.ndarray, " event"]
    after: Int[np.ndarray, " event"]
    sites: tuple[str, ...]
    length: float
    counting: Counting = "exact"

    @property
    def count(self) -> int:
        return len(self.t)

    @property
    def density(self) -> Score:
        """Boundaries per unit length; undefined for a zero-length segment."""
        if self.length == 0:
            return Score.undefined("the two end points coincide: a segment of length zero has no density")
        return Score(self.count / self.length, n=self.count)

    def histogram(self, edges: Float[np.ndarray, " edge"]) -> Int[np.ndarray, " bin"]:
        """Crossings per bin of t."""
        return np.histogram(self.t, bins=np.asarray(edges))[0]

    def by_site(self) -> dict[str, int]:
        """Crossings of each site, zeros included."""
        counts = np.bincount(self.site, minlength=len(self.sites))
        return {name: int(count) for name, count in zip(self.sites, counts, strict=True)}


@dataclass
class Events:
    """Crossings found so far, as lists of arrays on the host: t, unit, before, after, site, segment."""

    rows: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(self, t: Any, unit: Any, before: Any, after: Any, site: int, segment: Any = 0) -> None:
        if len(t):
            row = [v.cpu().numpy() if isinstance(v, Tensor) else v for v in (t, unit, before, after)]
            self.rows.append((*row, np.full(len(t), site), np.broadcast_to(segment, len(t))))

    @property
    def count(self) -> int:
        return sum(len(row[0]) for row in self.rows)


def collected(events: Events, names: tuple[str, ...], length: float) -> Crossings:
    """The crossings of one segment, in order."""
    return collected_by_segment(events, names, [length])[0]


def collected_by_segment(events: Events, names: tuple[str, ...], lengths: Sequence[float]) -> list[Crossings]:
    """The crossings of each segment, in order of t."""
    none = np.empty(0, dtype=np.int64)
    if not events.rows:
        return [Crossings(np.empty(0), none, none, none, none, names, length) for length in lengths]
    t, unit, before, after, site, segment = (np.concatenate(column) for column in zip(*events.rows, strict=True))
    order = np.lexsort((t, segment))
    ends = np.searchsorted(segment[order], np.arange(len(lengths) + 1))
    parts = [order[low:high] for low, high in pairwise(ends)]
    return [
        Crossings(t[part], site[part], unit[part], before[part], after[part], names, length)
        for part, length in zip(parts, lengths, strict=True)
    ]
