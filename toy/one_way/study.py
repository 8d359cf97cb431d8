"""One-way code: can x be read from the layers of a network that computes g^x mod p? [MK supplement 2.2]

Axis glossary: ``set`` of primes, ``layer``, ``budget`` probe steps, ``given`` layer alone or layer with (p, g).

Small primes cannot show hardness: with every triple tabulated, a big enough probe can always invert the map. What can
be shown is *where* x stops being readable for a given probe budget, and that for fixed (p, g) nothing is hidden at all.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch

from eval.experiment import standard_error
from eval.measures.statistics.binomial import binomial_share
from eval.options import chosen
from eval.progress import progress
from toy.configs.one_way import OneWayOptions
from toy.one_way.primes import n_triples, parse_primes
from toy.one_way.probes import layer_codes, probe, train_network, untrained_network
from toy.one_way.problem import Problem, problem_of
from toy.one_way.results import FixedGroup, OneWayResult, ProbeCell, VaryingGroups
from toy.safeguards import check_memory, limited_threads, seed_range

GIVEN = ("layer alone", "layer with (p, g)")
KINDS = ("linear", "mlp")
COPIES = 20
"""Noisy copies of a code that the probe of the positive control is fitted on, and as many that it is tested on."""
COPY_NOISE = 0.1
"""Standard deviation of that noise, in standard deviations of each neuron over the codes."""


def measure(options: OneWayOptions | None = None, *, seed: int = 0, **changes: Any) -> OneWayResult:
    """Everything the claims and figures need.

    Args:
        options: primes, networks, probes; `changes` replace single ones (`prime_sets=["5+7"]`).
        seed: of the first network; the others have the seeds after it.

    Raises:
        UserError: an option outside its range; triples that do not fit into memory, before any work.
    """
    config = chosen(OneWayOptions, options, changes)
    sets = [parse_primes(text) for text in config.prime_sets]
    check_sets_fit(sets, config)
    with limited_threads(1):
        fixed = [measure_fixed(prime, config, seed) for prime in sorted({p for primes in sets for p in primes})]
        varying = [measure_varying(primes, config, seed) for primes in progress(sets, label="one-way: prime sets")]
    return OneWayResult(tuple(fixed), tuple(varying), config.layers + 1, config.probe_steps, config.seeds)


def check_sets_fit(sets: list[tuple[int, ...]], options: OneWayOptions) -> None:
    """Refuse, before any work, what does not fit: weights, and activations of every triple, gradients included."""
    largest = max(max(primes) for primes in sets)
    triples = max(n_triples(primes) for primes in sets)
    per_triple = 4 * (options.layers + 1) * options.width + 8 * largest
    weights = 4 * options.layers * options.width * (options.width + 3 * largest)
    check_memory(4.0 * (triples * per_triple + weights), f"{triples} triples of primes up to {largest}")


def measure_fixed(prime: int, config: OneWayOptions, seed: int) -> FixedGroup:
    """The positive control: one (p, g). There is one code per x, so the probe is fitted on noisy copies of the codes
    and tested on others; the control draws the label of every copy at random, so that nothing can be learnt."""
    problem = problem_of([prime], fixed_root=True)
    network, accuracy = train_network(problem, width=config.width, layers=config.layers, steps=config.steps, seed=seed)
    generator = torch.Generator().manual_seed(seed + 2)
    codes = layer_codes(network, problem.inputs)[-1].repeat(2 * COPIES, 1)
    codes = codes + COPY_NOISE * codes.std(0) * torch.randn(codes.shape, generator=generator)
    labels = problem.exponents.repeat(2 * COPIES)
    half = len(labels) // 2
    train, test = torch.arange(half), torch.arange(half, len(labels))
    at_random = labels[torch.randperm(len(labels), generator=generator)]
    found = [
        probe(codes, chosen, train, test, kind="linear", budgets=[max(config.probe_steps)], seed=seed)[0]
        for chosen in (labels, at_random)
    ]
    reads, shuffled = (binomial_share(round(share * half), half) for share in found)
    return FixedGroup(prime, accuracy, reads, shuffled)


def measure_varying(primes: tuple[int, ...], config: OneWayOptions, seed: int) -> VaryingGroups:
    """Probes of every layer, alone and with (p, g), over seeds; control task and ceiling."""
    problem = problem_of(primes)
    runs = [_probe_network(problem, config, one) for one in seed_range(seed, config.seeds)]
    cells = []
    for layer, given, kind, task in runs[0].cells:
        values = [run.cells[layer, given, kind, task] for run in runs]  # [seed][budget]
        by_budget = list(zip(*values, strict=True))
        mean = tuple(sum(column) / len(column) for column in by_budget)
        errors = tuple(map(standard_error, by_budget))
        cells.append(ProbeCell(layer, given, kind, task, mean, errors, by_seed=tuple(value[-1] for value in values)))
    return VaryingGroups(
        primes=primes,
        triples=len(problem.values),
        held_out=n_held_out(len(problem.values), config.held_out),
        network=sum(run.accuracy for run in runs) / len(runs),
        ceiling=problem.bayes_ceiling(),
        chance=problem.chance(),
        cells=tuple(cells),
    )


def n_held_out(triples: int, share: float) -> int:
    """How many triples probes are tested on: the share, at least one."""
    return max(1, round(share * triples))


@dataclass(frozen=True)
class _Probed:
    """One network's accuracy, and the probes' by (layer, given, kind, task), a list over budgets."""

    accuracy: float
    cells: dict[tuple[int, str, str, str], list[float]]


def _probe_network(problem: Problem, config: OneWayOptions, seed: int) -> _Probed:
    network, accuracy = train_network(problem, width=config.width, layers=config.layers, steps=config.steps, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    order = torch.randperm(len(problem.values), generator=generator)
    n_test = n_held_out(len(order), config.held_out)
    test, train = order[:n_test], order[n_test:]
    control = problem.exponents[torch.randperm(len(order), generator=generator)]
    cells = {}
    codes = layer_codes(network, problem.inputs)
    start = layer_codes(untrained_network(problem, width=config.width, layers=config.layers, seed=seed), problem.inputs)
    for layer, given, kind in itertools.product(range(len(codes)), GIVEN, KINDS):
        tasks = {"x": (codes, problem.exponents)}
        if layer in (0, len(codes) - 1):
            tasks |= {"control": (codes, control), "untrained": (start, problem.exponents)}
        for task, (layers, labels) in tasks.items():
            shown = layers[layer] if given == GIVEN[0] else torch.cat([layers[layer], problem.group_inputs], 1)
            cells[layer, given, kind, task] = probe(
                shown, labels, train, test, kind=kind, budgets=config.probe_steps, seed=seed
            )
    return _Probed(accuracy, cells)
