"""Options of `python -m toy superposition`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from eval.options import Options, SeededConfig, nested, option
from eval.presets import Preset


@dataclass(frozen=True, kw_only=True)
class SuperpositionOptions(Options):
    """Sizes and training of the models, and the phase diagram."""

    n_features: int = option(120, "features n", at_least=2)
    n_hidden: int = option(12, "hidden units m", at_least=1)
    levels: int = option(14, "sparsity levels, active share p = 20^(-k/(levels-1))", at_least=3)
    seeds: int = option(5, "models per sparsity level", at_least=1)
    batch: int = option(256, "inputs per step", at_least=1)
    steps: int = option(3000, "training steps", at_least=1)
    learning_rate: float = option(3e-3, "AdamW learning rate", above=0, at_most=1000)
    weight_decay: float = option(0.01, "AdamW decoupled weight decay", at_least=0, at_most=1000)
    entropies: tuple[float, ...] = option(
        (8.0, 16.0, 24.0), "H: bits of one active feature, for the bound R; the inputs hold 24", above=0
    )
    phase_resolution: int = option(12, "cells per side of the phase diagram", at_least=2)


@dataclass(frozen=True, kw_only=True)
class SuperpositionConfig(SeededConfig):
    """Superposition: dimensions per feature against sparsity, sticky regions, geometry, phase diagram, the bound R."""

    papers: ClassVar[Mapping[str, Preset]] = {
        "mk": Preset(
            {
                "n_features": "200",
                "n_hidden": "20",
                "levels": "20",
                "batch": "1024",
                "steps": "10000",
                "learning_rate": "0.001",
            },
            "200 features in 20 dimensions, 20 sparsity levels p = 20^(-k/19), as in Fig. 1c; 5 models a level. The "
            "inputs are float32 numbers (24 bits)",
        )
    }

    superposition: SuperpositionOptions = nested(SuperpositionOptions())


FULL = {
    "n_features": 200,
    "n_hidden": 20,
    "levels": 20,
    "seeds": 8,
    "batch": 1024,
    "steps": 10_000,
    "learning_rate": 1e-3,
    "phase_resolution": 24,
}
