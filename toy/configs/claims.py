"""Options of `python -m toy claims`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import SeededConfig, option

NAMES = ("capacity", "incidental", "superposition", "dropout-channel", "one-way", "spectra")
"""The experiments, in the order of the page."""


@dataclass(frozen=True, kw_only=True)
class ClaimsConfig(SeededConfig):
    """Every claim of the sources as prediction, measurement and verdict, with figures, page and results.json."""

    full: bool = option(False, "the papers' sizes instead of the ones for two cores (hours)")
    only: tuple[str, ...] = option((), "only these experiments, comma-separated; default all", choices=NAMES)
