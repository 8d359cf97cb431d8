"""Options of `python -m toy spectra`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import Options, SeededConfig, nested, option


@dataclass(frozen=True, kw_only=True)
class ToySpectraOptions(Options):
    """The superposition models whose codes are measured."""

    n_features: int = option(60, "features n", at_least=2)
    n_hidden: int = option(20, "hidden units m", at_least=2)
    sparsities: tuple[float, ...] = option((0.0, 0.5, 0.8, 0.95), "sparsities S", at_least=0, below=1)
    steps: int = option(1000, "training steps", at_least=1)
    samples: int = option(3000, "inputs whose codes are measured", at_least=10)


@dataclass(frozen=True, kw_only=True)
class SpectraConfig(SeededConfig):
    """Eigenspectra, action and spline codes of superposition models: the other wings' measures on toy codes."""

    spectra: ToySpectraOptions = nested(ToySpectraOptions())


FULL = {"n_features": 400, "n_hidden": 80, "steps": 10_000, "samples": 20_000}
