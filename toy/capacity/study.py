"""Coding theory of [MK], computed, simulated and compared with what is printed.

Axis glossary: ``dropout`` shares D, ``bits`` C of one neuron, ``layer`` depth.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np

from eval.measures.information import capacity
from eval.runs import json_ready
from toy.capacity.cascade import simulate
from toy.configs.capacity import CapacityConfig
from toy.safeguards import check_count, check_share


def measure(config: CapacityConfig) -> dict[str, Any]:
    """Everything the claims and figures need, as plain JSON."""
    check_share(config.sparsity, "S")
    for dropout in config.dropouts:
        check_share(dropout, "D")
    for bits in config.bits:
        check_count(bits, "C")
    check_count(config.layers, "layers")
    rates = [
        {"H": h, "S": config.sparsity, "R": capacity.compression_rate(config.sparsity, h)} for h in config.entropies
    ]
    cascade = simulate(
        config.width, config.message, config.simulated_dropout, config.layers, config.trials, seed=config.seed
    )
    return json_ready(
        {
            "compression_rates": rates,
            "dropout_capacities": [_capacities(c, d) for d in config.dropouts for c in config.bits],
            "depth": measure_depth(config),
            "cascade": dataclasses.asdict(cascade)
            | {"width": config.width, "message": config.message, "dropout": config.simulated_dropout}
            | {"trials": config.trials, "surviving_deviation": cascade.largest_deviation("surviving")}
            | {"failed_deviation": cascade.largest_deviation("failed")},
            "widths": measure_widths(config.simulated_dropout),
            "power_law": measure_power_law(),
        }
    )


def _capacities(bits: int, dropout: float) -> dict[str, Any]:
    """Closed form, oracle and bounds of one neuron."""
    n_levels = 2**bits
    exact = capacity.dropout_capacity(n_levels, dropout)
    oracle = capacity.blahut_arimoto(capacity.dropout_channel(n_levels, dropout))
    low, high = capacity.dropout_capacity_bounds(n_levels, dropout)
    return {
        "bits": bits,
        "dropout": dropout,
        "exact": exact,
        "blahut_arimoto": oracle.capacity,
        "difference": abs(exact - oracle.capacity),
        "low": low,
        "high": high,
    }


def measure_depth(config: CapacityConfig) -> list[dict[str, Any]]:
    """Fig. 2b, c: bits of one neuron against depth, by dropout, at the largest and smallest C; exact and as printed."""
    layers = list(range(config.layers + 1))
    rows = []
    for bits, dropout in itertools.product(sorted({max(config.bits), min(config.bits)}, reverse=True), config.dropouts):
        effective = [capacity.cascade_dropout(dropout, n) for n in layers]
        rows.append(
            {
                "dropout": dropout,
                "bits": bits,
                "layers": layers,
                "uncorrected": [capacity.cascade_capacity(bits, dropout, n, corrected=False) for n in layers],
                "corrected": [capacity.cascade_capacity(bits, dropout, n, corrected=True) for n in layers],
                "uncorrected_exact": [capacity.dropout_capacity(2**bits, d) for d in effective],
            }
        )
    return rows


def measure_widths(dropout: float) -> dict[str, Any]:
    """How wide must a layer be before correction pays C(1-D)? Symbols per neuron at a failure rate of .01."""
    widths = [int(w) for w in np.unique(np.logspace(0.5, 4, 40).round())]
    normal = [capacity.finite_width_capacity(w, dropout, 0.01) / w for w in widths]
    exact = [largest_message(width, dropout, 0.01) / width for width in widths]
    return {"widths": widths, "normal": normal, "exact": exact, "dropout": dropout}


def largest_message(width: int, dropout: float, failure: float) -> int:
    """The most message symbols a re-encoding layer of this width carries at this failure rate, by bisection."""
    low, high = 0, width
    while low < high:
        middle = (low + high + 1) // 2
        fits = capacity.reencoding_failure(width, middle, dropout) <= failure
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def measure_power_law() -> list[dict[str, Any]]:
    """Theorem 4: the exact loss, its halved eigenvalue form, and the printed Stirling form, at alpha = -1."""
    rows = []
    for m in (10, 100, 1000):
        exact = capacity.power_law_loss(m, -1.0)
        rows.append(
            {
                "m": m,
                "exact, standard deviations": exact,
                "exact, eigenvalues": capacity.power_law_loss(m, -1.0, "eigenvalues"),
                "printed": capacity.power_law_loss_printed(m, -1.0),
                "printed/exact": capacity.power_law_loss_printed(m, -1.0) / exact,
            }
        )
    return rows
