"""Configuration of `python -m toy capacity`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class CapacityConfig(RunConfig):
    """Coding theory: dropout capacity against Blahut-Arimoto, erasure cascades with and without re-encoding."""

    sparsity: float = option(0.9, "S at which the compression rate is tabulated")
    entropies: tuple[float, ...] = option((8.0, 16.0, 32.0), "H in bits, for the compression rate")
    dropouts: tuple[float, ...] = option((0.05, 0.1, 0.2, 0.5), "dropout shares D")
    bits: tuple[int, ...] = option((1, 2, 4, 8), "C: bits of one neuron, M = 2^C levels")
    layers: int = option(20, "depth of the cascades")
    width: int = option(40, "symbols per layer m of the simulated cascade")
    message: int = option(26, "message symbols k of the re-encoded cascade")
    simulated_dropout: float = option(0.2, "D of the simulated cascade")
    trials: int = option(4000, "simulated cascades")


FULL = {"trials": 20_000}
