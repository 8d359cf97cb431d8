"""Configuration of `python -m toy one-way`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class OneWayConfig(RunConfig):
    """One-way code: networks learn g^x mod p for small primes; probes look for x in every layer."""

    prime_sets: tuple[str, ...] = option(("5+7+11", "11+13+17", "17+19+23"), "sets of primes that vary together")
    seeds: int = option(2, "networks per set")
    width: int = option(96, "neurons per hidden layer")
    layers: int = option(4, "hidden layers")
    steps: int = option(700, "training steps of a network (all triples per step)")
    probe_steps: tuple[int, ...] = option((50, 400), "probe budgets, training steps")
    held_out: float = option(0.3, "share of (p, g, x) triples that probes are tested on")


FULL = {"prime_sets": ("5+7+11", "11+13+17", "17+19+23", "29+31+37"), "seeds": 5, "probe_steps": (50, 400, 3000)}
