"""Which kind is explained better, watched while units come in: decided at a margin, and valid at every look.

Units of two kinds are drawn with replacement, so the differences of their scores, pair by pair, are independent with
the difference of the two means as their mean. Each comparison has a confidence sequence (`confidence_sequences`), the
level divided over all of them, and is decided once its interval lies

| verdict | where the interval lies |
|---|---|
| ``above``, ``below`` | clear of 0 |
| ``within the margin`` | inside of +- margin: whatever the difference is, it is smaller than that |

What the intervals speak of are the recorded units and the documents of the run, both held fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from eval.errors import UserError
from eval.measures.statistics.confidence_sequences import betting_sequence
from eval.result_json import measured
from eval.results import Result, result
from eval.scores import Score

UNDECIDED = "undecided"


class Compared(NamedTuple):
    """Two kinds of units in a layer."""

    a: str
    b: str
    layer: int


@result
class Decision(Result):
    """Mean score of kind ``a`` minus that of kind ``b`` in a layer, with an interval that holds at every look.

    ``n`` counts pairs of units with a score. verdict: ``above``, ``below``, ``within the margin`` or ``undecided``.
    """

    layer: int
    a: str
    b: str
    verdict: str
    margin: float
    difference: Score = measured(ci="ci", reason="reason", n="n")

    @property
    def is_made(self) -> bool:
        return self.verdict != UNDECIDED

    def line(self) -> str:
        """In words, for the person at the terminal."""
        return f"layer {self.layer}, {self.a} - {self.b}: {self.difference} after {self.difference.n}: {self.verdict}"


class Watch:
    """The differences of every comparison as they come in, and what they decide.

    margin: differences of this size do not matter. level: of all intervals at all looks together. Scores lie in -1..1.
    Raises `UserError` where nothing is compared.
    """

    def __init__(self, compared: Sequence[Compared], margin: float, level: float = 0.95) -> None:
        if not compared:
            raise UserError("expected two kinds of units to compare, got fewer; name more in --units")
        self.margin, self.level = margin, 1 - (1 - level) / len(compared)
        self._differences: dict[Compared, list[float]] = {one: [] for one in compared}
        self._made: dict[Compared, Decision] = {one: self._decide(one) for one in compared}

    def add(self, compared: Compared, pairs: Iterable[tuple[float | None, float | None]]) -> None:
        """Scores of further pairs of units; a pair of which one has no score says nothing and is left out.

        A comparison that is decided stays as it is.
        """
        if self._made[compared].is_made:
            return
        known = [a - b for a, b in pairs if a is not None and b is not None]
        self._differences[compared] += known
        self._made[compared] = self._decide(compared)

    @property
    def undecided(self) -> list[Compared]:
        """The comparisons that need further units."""
        return [one for one, decision in self._made.items() if not decision.is_made]

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Where every comparison stands."""
        return tuple(self._made.values())

    def _decide(self, compared: Compared) -> Decision:
        values = np.array(self._differences[compared])
        a, b, layer = compared
        if not len(values):
            return Decision(layer, a, b, UNDECIDED, self.margin, Score.undefined("no pair has a score yet", 0))
        lower, upper = betting_sequence(values, low=-2.0, high=2.0, level=self.level)
        low, high = float(lower[-1]), float(upper[-1])
        verdict = UNDECIDED
        if low > 0 or high < 0:
            verdict = "above" if low > 0 else "below"
        elif -self.margin <= low and high <= self.margin:
            verdict = "within the margin"
        return Decision(layer, a, b, verdict, self.margin, Score(float(values.mean()), low, high, len(values)))
