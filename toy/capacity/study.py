"""Coding theory of [MK], computed, simulated and compared with what is printed.

Axis glossary: ``dropout`` shares D, ``bits`` C of one neuron, ``layer`` depth.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from eval.measures.information import capacity
from eval.options import chosen
from toy.capacity.cascade import simulate
from toy.capacity.results import CapacityResult, CompressionRate, DepthCurve, FiniteWidth, NeuronCapacity, PowerLawLoss
from toy.configs.capacity import CapacityOptions


def measure(options: CapacityOptions | None = None, *, seed: int = 0, **changes: Any) -> CapacityResult:
    """Everything the claims and figures need.

    Args:
        options: channels and cascades; `changes` replace single ones (`trials=500`).
        seed: of the simulated cascades.

    Raises:
        UserError: an option outside its range; cascades that do not fit into memory, before any work.
    """
    config = chosen(CapacityOptions, options, changes)
    cascade = simulate(config.width, config.message, config.simulated_dropout, config.layers, config.trials, seed=seed)
    rates = [
        CompressionRate(h, config.sparsity, capacity.compression_rate(config.sparsity, h)) for h in config.entropies
    ]
    return CapacityResult(
        compression_rates=tuple(rates),
        dropout_capacities=tuple(_capacities(c, d) for d in config.dropouts for c in config.bits),
        depth=measure_depth(config),
        cascade=cascade,
        widths=measure_widths(config.simulated_dropout),
        power_law=measure_power_law(),
    )


def _capacities(bits: int, dropout: float) -> NeuronCapacity:
    """Closed form, oracle and bounds of one neuron."""
    n_levels = 2**bits
    exact = capacity.dropout_capacity(n_levels, dropout)
    oracle = capacity.blahut_arimoto(capacity.dropout_channel(n_levels, dropout)).capacity
    low, high = capacity.dropout_capacity_bounds(n_levels, dropout)
    errs = error_channel_capacity(bits, dropout)
    return NeuronCapacity(bits, dropout, exact, oracle, abs(exact - oracle), low, high, errs)


def error_channel_capacity(bits: int, share: float) -> float:
    """Bits of one neuron of M = 2^C levels that shows one of the M-1 wrong levels with probability `share` instead of
    falling silent: ``C - h(s) - s log2(M-1)`` [Cover & Thomas 2006, 7.2]; in [0, C], 0 at s = 1 - 1/M."""
    wrong = min(share, 1 - 2.0**-bits)
    return bits - capacity.binary_entropy(wrong) - wrong * math.log2(2**bits - 1)


def _cascaded_error(bits: int, share: float, layers: int) -> float:
    """Probability of a wrong level after that many layers: ``(1-1/M) (1 - (1 - s/(1-1/M))^N)``."""
    top = 1 - 2.0**-bits
    return top * (1 - max(0.0, 1 - share / top) ** layers)


def measure_depth(config: CapacityOptions) -> tuple[DepthCurve, ...]:
    """Fig. 2b, c: bits of one neuron against depth, by dropout, at the largest and smallest C; exact and as printed."""
    layers = range(config.layers + 1)
    rows = []
    for bits, dropout in itertools.product(sorted({max(config.bits), min(config.bits)}, reverse=True), config.dropouts):
        effective = [capacity.cascade_dropout(dropout, n) for n in layers]
        rows.append(
            DepthCurve(
                dropout,
                bits,
                layers=tuple(layers),
                uncorrected=tuple(capacity.cascade_capacity(bits, dropout, n, corrected=False) for n in layers),
                corrected=tuple(capacity.cascade_capacity(bits, dropout, n, corrected=True) for n in layers),
                uncorrected_exact=tuple(capacity.dropout_capacity(2**bits, d) for d in effective),
                error_channel=tuple(error_channel_capacity(bits, _cascaded_error(bits, dropout, n)) for n in layers),
            )
        )
    return tuple(rows)


def measure_widths(dropout: float) -> FiniteWidth:
    """How wide must a layer be before correction pays C(1-D)? Symbols per neuron at a failure rate of .01."""
    widths = tuple(int(w) for w in np.unique(np.logspace(0.5, 4, 40).round()))
    normal = tuple(capacity.finite_width_capacity(w, dropout, 0.01) / w for w in widths)
    exact = tuple(largest_message(width, dropout, 0.01) / width for width in widths)
    uncoded = tuple(math.floor(math.log(0.99) / math.log(1 - dropout)) / w if dropout else 1.0 for w in widths)
    return FiniteWidth(widths, normal, exact, uncoded, dropout)


def largest_message(width: int, dropout: float, failure: float) -> int:
    """The most message symbols a re-encoding layer of this width carries at this failure rate, by bisection."""
    low, high = 0, width
    while low < high:
        middle = (low + high + 1) // 2
        fits = capacity.reencoding_failure(width, middle, dropout) <= failure
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def measure_power_law() -> tuple[PowerLawLoss, ...]:
    """Theorem 4: the exact loss, its halved eigenvalue form, and the printed Stirling form, at alpha = -1."""
    rows = []
    for width in (10, 100, 1000):
        exact, printed = capacity.power_law_loss(width, -1.0), capacity.power_law_loss_printed(width, -1.0)
        eigenvalues = capacity.power_law_loss(width, -1.0, "eigenvalues")
        rows.append(PowerLawLoss(width, exact, eigenvalues, printed, printed / exact))
    return tuple(rows)
