"""Options of `python -m toy one-way`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, SeededConfig, nested, option
from toy.one_way.primes import n_triples, parse_primes


@dataclass(frozen=True, kw_only=True)
class OneWayOptions(Options):
    """Primes, networks and probes."""

    prime_sets: tuple[str, ...] = option(("5+7+11", "11+13+17", "17+19+23"), "sets of primes that vary together")
    seeds: int = option(5, "networks per set", at_least=1)
    width: int = option(96, "neurons per hidden layer", at_least=1)
    layers: int = option(4, "hidden layers", at_least=1)
    steps: int = option(700, "training steps of a network (all triples per step)", at_least=1)
    probe_steps: tuple[int, ...] = option((50, 400), "probe budgets, training steps", at_least=1)
    held_out: float = option(0.3, "share of (p, g, x) triples that probes are tested on", above=0, below=1)

    def validate(self) -> None:
        for text in self.prime_sets:
            triples = n_triples(parse_primes(text))
            tested = max(1, round(self.held_out * triples))
            if triples - tested < 2:
                raise UserError(
                    f"expected --held-out to leave 2 triples for training; got {self.held_out:g} of {triples} triples "
                    f"with primes {text}; lower it or add primes"
                )


@dataclass(frozen=True, kw_only=True)
class OneWayConfig(SeededConfig):
    """One-way code: networks learn g^x mod p for small primes; probes look for x in every layer."""

    one_way: OneWayOptions = nested(OneWayOptions())


FULL = {"prime_sets": ("5+7+11", "11+13+17", "17+19+23", "29+31+37"), "seeds": 8, "probe_steps": (50, 400, 3000)}
