"""One-way code: can x be read from the layers of a network that computes g^x mod p? [MK supplement 2.2]

Axis glossary: ``set`` of primes, ``layer``, ``budget`` probe steps, ``given`` layer alone or layer with (p, g).

Small primes cannot show hardness: with every triple tabulated, a big enough probe can always invert the map. What can
be shown is *where* x stops being readable for a given probe budget, and that for fixed (p, g) nothing is hidden at all.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from eval.errors import UserError
from eval.progress import progress
from eval.runs import json_ready
from toy.configs.one_way import OneWayConfig
from toy.one_way.probes import layer_codes, probe, train_network
from toy.one_way.problem import Problem, check_primes, problem_of
from toy.safeguards import check_count, check_memory, limited_threads, seed_range

GIVEN = ("layer alone", "layer with (p, g)")
KINDS = ("linear", "mlp")


def parse_primes(text: str) -> tuple[int, ...]:
    """`11+13+17` as (11, 13, 17), all prime."""
    parts = text.split("+")
    if not all(part.strip().isdigit() for part in parts):
        raise UserError(f"expected primes joined by +; got {text!r}; write e.g. 11+13+17")
    return check_primes([int(part) for part in parts])


def measure(config: OneWayConfig) -> dict[str, Any]:
    """Everything the claims and figures need, as plain JSON."""
    sets = [parse_primes(text) for text in config.prime_sets]
    check_count(config.width, "width")
    check_count(config.layers, "layers")
    check_count(min(config.probe_steps, default=0), "probe steps")
    if not 0 < config.held_out < 1:
        raise UserError(f"expected held-out in (0, 1); got {config.held_out:g}; try .3")
    largest = max(max(primes) for primes in sets)
    check_memory(4 * 12 * len(sets[0]) * largest**2 * config.width, f"all triples of primes up to {largest}")
    with limited_threads(1):
        fixed = [measure_fixed(prime, config) for prime in sorted({p for primes in sets for p in primes})]
        varying = [measure_varying(primes, config) for primes in progress(sets, label="one-way: prime sets")]
    return json_ready(
        {
            "fixed": fixed,
            "varying": varying,
            "layers": config.layers + 1,
            "budgets": list(config.probe_steps),
            "seeds": config.seeds,
        }
    )


def measure_fixed(prime: int, config: OneWayConfig) -> dict[str, Any]:
    """The positive control: one (p, g). There is one code per x, so the probe is asked only to tell them apart."""
    problem = problem_of([prime], fixed_root=True)
    network, accuracy = train_network(
        problem, width=config.width, layers=config.layers, steps=config.steps, seed=config.seed
    )
    every = torch.arange(len(problem.values))
    codes = layer_codes(network, problem.inputs)[-1]
    found = probe(
        codes, problem.exponents, every, every, kind="linear", budgets=[max(config.probe_steps)], seed=config.seed
    )
    return {"prime": prime, "network": accuracy, "probe": found[0]}


def measure_varying(primes: tuple[int, ...], config: OneWayConfig) -> dict[str, Any]:
    """Probes of every layer, alone and with (p, g), over seeds; control task and ceiling."""
    problem = problem_of(primes)
    runs = [_probe_network(problem, config, seed) for seed in seed_range(config.seed, config.seeds)]
    cells = []
    for key in runs[0]["cells"]:
        values = torch.tensor([run["cells"][key] for run in runs], dtype=torch.float64)  # [seed budget]
        error = values.std(0) / math.sqrt(len(runs)) if len(runs) > 1 else torch.zeros(values.shape[1])
        layer, given, kind, task = key
        cells.append(
            {"layer": layer, "given": given, "kind": kind, "task": task}
            | {"accuracy": values.mean(0).tolist(), "standard_error": error.tolist()}
        )
    return {
        "primes": primes,
        "triples": len(problem.values),
        "network": sum(run["network"] for run in runs) / len(runs),
        "ceiling": problem.bayes_ceiling(),
        "chance": problem.chance(),
        "cells": cells,
    }


def _probe_network(problem: Problem, config: OneWayConfig, seed: int) -> dict[str, Any]:
    network, accuracy = train_network(problem, width=config.width, layers=config.layers, steps=config.steps, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    order = torch.randperm(len(problem.values), generator=generator)
    n_test = max(1, round(config.held_out * len(order)))
    test, train = order[:n_test], order[n_test:]
    control = problem.exponents[torch.randperm(len(order), generator=generator)]
    cells = {}
    codes = layer_codes(network, problem.inputs)
    for layer, code in enumerate(codes):
        for given in GIVEN:
            shown = code if given == GIVEN[0] else torch.cat([code, problem.group_inputs], 1)
            for kind in KINDS:
                options = {"kind": kind, "budgets": config.probe_steps, "seed": seed}
                cells[layer, given, kind, "x"] = probe(shown, problem.exponents, train, test, **options)
                if layer == len(codes) - 1:
                    cells[layer, given, kind, "control"] = probe(shown, control, train, test, **options)
    return {"network": accuracy, "cells": cells}
