"""Configuration of `python -m toy spectra`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class SpectraConfig(RunConfig):
    """Eigenspectra, action and spline codes of superposition models: the other wings' measures on toy codes."""

    n_features: int = option(60, "features n")
    n_hidden: int = option(20, "hidden units m")
    sparsities: tuple[float, ...] = option((0.0, 0.5, 0.8, 0.95), "sparsities S")
    steps: int = option(1000, "training steps")
    samples: int = option(3000, "inputs whose codes are measured")


FULL = {"n_features": 400, "n_hidden": 80, "steps": 10_000, "samples": 20_000}
