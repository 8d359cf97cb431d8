"""Configuration of `python -m toy superposition`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class SuperpositionConfig(RunConfig):
    """Superposition: dimensions per feature against sparsity, sticky regions, geometry, phase diagram, the bound R."""

    n_features: int = option(120, "features n")
    n_hidden: int = option(12, "hidden units m")
    levels: int = option(14, "sparsity levels, active share p = 20^(-k/(levels-1))")
    seeds: int = option(2, "models per sparsity level")
    batch: int = option(256, "inputs per step")
    steps: int = option(3000, "training steps")
    learning_rate: float = option(3e-3, "AdamW learning rate")
    weight_decay: float = option(0.01, "AdamW decoupled weight decay")
    entropies: tuple[float, ...] = option((8.0, 16.0, 32.0), "H: bits of one active feature, for the bound R")
    phase_resolution: int = option(12, "cells per side of the phase diagram")


FULL = {
    "n_features": 200,
    "n_hidden": 20,
    "levels": 20,
    "seeds": 4,
    "batch": 1024,
    "steps": 10_000,
    "learning_rate": 1e-3,
    "phase_resolution": 24,
}
