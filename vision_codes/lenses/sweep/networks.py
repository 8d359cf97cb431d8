"""Networks of a sweep as their numbers by depth, and the same networks relabelled: what dropout is not the cause of.

Axis glossary: ``site`` by depth, rising; networks of one seed started from the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eval.scores import Score
from vision_codes.lenses.projections.results import SiteProjections
from vision_codes.lenses.spectra.results import SiteSpectrum


@dataclass(frozen=True)
class Network:
    """The analysis of one network: rows by site of its spectra and of the moving dot; dropout `None`: untrained."""

    dropout: float | None
    seed: int
    spectra: Sequence[SiteSpectrum]
    dot: Sequence[SiteProjections]

    def of(self, key: str, layers: Iterable[int] | None = None) -> list[float | None]:
        """Values of a key by depth (of the given layers), from the spectra or the projections, whichever has it."""
        rows: Sequence[Any] = self.spectra if key in ("alpha", "largest_step", "residual") else self.dot
        wanted = None if layers is None else set(layers)
        read = exponent if key == "alpha" else value_of(key)
        return [read(row) for row in rows if wanted is None or row.layer in wanted]

    @property
    def layers(self) -> list[int]:
        return [row.layer for row in self.spectra]


def exponent(row: SiteSpectrum) -> float | None:
    """alpha_corrected, or alpha where the correction is undefined."""
    corrected = None if row.alpha_corrected is None else row.alpha_corrected.value
    return row.alpha.value if corrected is None else corrected


def value_of(name: str) -> Callable[[Any], float | None]:
    """A reader of one number of a row: of a score its value, `None` where it is undefined."""

    def read(row: Any) -> float | None:
        found = getattr(row, name)
        return found.value if isinstance(found, Score) else found

    return read


def seeds_for_dropouts(networks: Sequence[Network]) -> list[Network]:
    """Networks of one dropout, relabelled as if what differs between them, their seed, were the dropout.

    What grows with dropout must not grow as much between networks that were trained alike. Each dropout of the sweep
    becomes a "seed", its seeds become dropouts spread over those of the sweep, lowest to highest.
    """
    trained = [network for network in networks if network.dropout is not None]
    dropouts = sorted({network.dropout or 0.0 for network in trained})
    out = []
    for group, dropout in enumerate(dropouts):
        alike = sorted((n for n in trained if n.dropout == dropout), key=lambda network: network.seed)
        alike = alike[: len(dropouts)]
        places = np.linspace(0, len(dropouts) - 1, len(alike)).round().astype(int) if len(alike) > 1 else []
        out += [replace(n, dropout=dropouts[place], seed=group) for n, place in zip(alike, places, strict=False)]
    return out


def with_dots_of_the_next(networks: Sequence[Network]) -> list[Network]:
    """Every network's spectra with the moving dot of the next dropout of its seed (of the lowest after the highest):
    two numbers that go together in a network need not do so in two."""
    trained = [network for network in networks if network.dropout is not None]
    out = []
    for seed in sorted({network.seed for network in trained}):
        group = sorted((n for n in trained if n.seed == seed), key=lambda network: network.dropout or 0.0)
        out += [replace(n, dot=other.dot) for n, other in zip(group, [*group[1:], group[0]], strict=True)]
    return out
