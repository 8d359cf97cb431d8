"""How many passes over the text keep a harvest within its memory limit? Split by layers, said before it starts.

Accumulators grow with the sites and not with the text: sites that do not fit together are read in several passes over
the same windows. Every site sees the same batches whatever pass it is in: its numbers do not depend on the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from eval.progress import say
from eval.run_identity import short_hash
from llm_codes.harvest import GIGABYTE
from llm_codes.sites import Site

Sizes = Callable[[Sequence[Site]], int]


@dataclass(frozen=True)
class PlannedPass:
    """sites: read together, in one walk over the text. n_bytes: peak beyond the model."""

    sites: tuple[Site, ...]
    n_bytes: int

    @property
    def name(self) -> str:
        """Short, and another one for other sites."""
        return short_hash([site.name for site in self.sites])

    @property
    def n_layers(self) -> int:
        return len({site.layer for site in self.sites})


def plan_passes(sites: Sequence[Site], size_of: Sizes, limit_gb: float | None) -> list[PlannedPass]:
    """The fewest passes over runs of layers, as equal as can be, that each stay within the limit.

    A layer whose sites do not fit together is split into them. What does not fit however it is split stays whole, for
    `check_memory` to refuse before anything runs.

    Args:
        sites: what is to be read. size_of: peak bytes of a pass over some of them. limit_gb: `None` is no limit.
    """
    whole = [PlannedPass(tuple(sites), size_of(sites))]
    if limit_gb is None or whole[0].n_bytes <= limit_gb * GIGABYTE or len(sites) == 1:
        return whole
    layers = [tuple(some) for _, some in groupby(sorted(sites, key=lambda site: site.layer), lambda site: site.layer)]
    for parts in (layers, [(site,) for layer in layers for site in layer]):
        for count in range(2, len(parts) + 1):
            planned = _split(parts, count, size_of)
            if max(one.n_bytes for one in planned) <= limit_gb * GIGABYTE:
                return planned
    return whole


def _split(parts: Sequence[Sequence[Site]], count: int, size_of: Sizes) -> list[PlannedPass]:
    """`count` runs of parts, in order, whose lengths differ by one at most."""
    bounds = [number * len(parts) // count for number in range(count + 1)]
    groups = [
        tuple(site for part in parts[first:stop] for site in part)
        for first, stop in zip(bounds, bounds[1:], strict=False)
    ]
    return [PlannedPass(group, size_of(group)) for group in groups]


def in_words(planned: Sequence[PlannedPass], limit_gb: float | None) -> str:
    """`3 passes of 16 layers, 5.9 GB each (limit 8 GB)`."""
    layers = sorted({one.n_layers for one in planned})
    sizes = sorted({f"{one.n_bytes / GIGABYTE:.3g}" for one in planned}, key=float)
    spread = f"{layers[0]}" if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"
    size = f"{sizes[0]} GB each" if len(sizes) == 1 else f"at most {sizes[-1]} GB each"
    limit = "" if limit_gb is None else f" (limit {limit_gb:g} GB)"
    noun = "layer" if layers == [1] else "layers"
    return f"{len(planned)} passes of {spread} {noun}, {size}{limit}"


def say_passes(planned: Sequence[PlannedPass], limit_gb: float | None, label: str) -> None:
    """Say the plan before it starts, where it is more than one pass."""
    if len(planned) > 1:
        say(f"{label}: {in_words(planned, limit_gb)}; the text is read {len(planned)} times")
