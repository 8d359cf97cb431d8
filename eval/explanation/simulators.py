"""From words back to activations. A simulator reads an explanation and predicts 0..10 for every token of a window.

``RuleSimulator`` here needs no language model: it reads printed rules. ``local_simulator`` reads a language model's
logits, one forward pass per window; ``chat_simulators`` asks a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
from jaxtyping import Float

from eval.explanation.explainers import Explanation
from eval.explanation.records import LEVELS
from eval.explanation.rules.printing import read_rule

REFERENCE = np.arange(LEVELS + 1)


@dataclass(frozen=True)
class Task:
    """One window to simulate under one explanation. strings: tokens as text. tokens: their ids."""

    explanation: Explanation
    strings: tuple[str, ...]
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Simulation:
    """Predicted activations of one window on the scale 0..10, with what went wrong.

    values: [position], NaN where the simulator gave none. outside: [position], the probability it put on answers that
    are not a number 0..10, ``None`` where it works without probabilities. reason: why the whole window has no value.
    notes: faults that were survived (``"truncated reply"``), counted in the results.
    """

    values: Float[np.ndarray, " position"]
    outside: Float[np.ndarray, " position"] | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def failed(cls, n_tokens: int, reason: str, *notes: str) -> Simulation:
        """No value anywhere, because of ``reason``."""
        return cls(np.full(n_tokens, np.nan), reason=reason, notes=notes)

    @property
    def missing(self) -> int:
        """How many tokens have no value."""
        return int(np.isnan(self.values).sum())


class Simulator(Protocol):
    """Simulates many windows at once, in order; never raises for one window's fault."""

    name: str

    def simulate(self, tasks: Sequence[Task]) -> list[Simulation]: ...


class RuleSimulator:
    """Reads a printed rule and does what it says; knows the text of the explanation and the text of the tokens.

    Raises `UserError` for an explanation that is no printed rule.
    """

    name = "rules"

    def simulate(self, tasks: Sequence[Task]) -> list[Simulation]:
        out = []
        for text, group in groupby(tasks, key=lambda task: task.explanation.text):
            out += [Simulation(values) for values in read_rule(text).predict([task.strings for task in group])]
        return out


def expected_value(
    probability: Float[np.ndarray, "position level"],
) -> tuple[Float[np.ndarray, " position"], Float[np.ndarray, " position"]]:
    """(expected level given that the answer is one of 0..10, probability mass outside 0..10) [B23].

    NaN where the eleven probabilities sum to less than 1e-6: the simulator did not answer with a number there.
    """
    inside = probability.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(inside > 1e-6, probability @ REFERENCE / inside, np.nan)
    return value, np.clip(1 - inside, 0, 1)
