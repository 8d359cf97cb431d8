"""Options of `python -m toy capacity`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, SeededConfig, nested, option

LARGEST_WIDTH = 257
"""Words of the Reed-Solomon code modulo 257 have at most 257 symbols."""


@dataclass(frozen=True, kw_only=True)
class CapacityOptions(Options):
    """Channels, cascades and the compression rate."""

    sparsity: float = option(0.9, "S at which the compression rate is tabulated", at_least=0, at_most=1)
    entropies: tuple[float, ...] = option((8.0, 16.0, 32.0), "H in bits, for the compression rate", above=0)
    dropouts: tuple[float, ...] = option((0.05, 0.1, 0.2, 0.5), "dropout shares D", at_least=0, below=1)
    bits: tuple[int, ...] = option((1, 2, 4, 8), "C: bits of one neuron, M = 2^C levels", at_least=1, at_most=12)
    layers: int = option(20, "depth of the cascades", at_least=1, at_most=1000)
    width: int = option(40, "symbols per layer m of the simulated cascade", at_least=1, at_most=LARGEST_WIDTH)
    message: int = option(26, "message symbols k of the re-encoded cascade", at_least=1, at_most=LARGEST_WIDTH)
    simulated_dropout: float = option(0.2, "D of the simulated cascade", at_least=0, below=1)
    trials: int = option(4000, "simulated cascades", at_least=2)

    def validate(self) -> None:
        if self.message > self.width:
            raise UserError(
                f"expected --message at most --width; got {self.message} and {self.width}; a code has k <= m symbols"
            )


@dataclass(frozen=True, kw_only=True)
class CapacityConfig(SeededConfig):
    """Coding theory: dropout capacity against Blahut-Arimoto, erasure cascades with and without re-encoding."""

    capacity: CapacityOptions = nested(CapacityOptions())


FULL = {"trials": 20_000}
