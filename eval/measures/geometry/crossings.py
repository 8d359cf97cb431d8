"""The boundaries along a segment, as one object: what exact and sampled counts return.

Axis glossary: ``event`` a crossing, ``edge`` and ``bin`` of a histogram along the segment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """Crossings found so far, as lists of arrays on the host: t, unit, before, after, site."""

    rows: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(self, t: Any, unit: Any, before: Any, after: Any, site: int) -> None:
        if len(t):
            row = [v.cpu().numpy() if isinstance(v, Tensor) else v for v in (t, unit, before, after)]
            self.rows.append((*row, np.full(len(t), site)))


def collected(events: Events, names: tuple[str, ...], length: float) -> Crossings:
    if not events.rows:
        none = np.empty(0, dtype=np.int64)
        return Crossings(np.empty(0), none, none, none, none, names, length)
    t, unit, before, after, site = (np.concatenate(column) for column in zip(*events.rows, strict=True))
    order = np.argsort(t, kind="stable")
    return Crossings(t[order], site[order], unit[order], before[order], after[order], names, length)
