"""A fitted rule of any length: its clauses in the order they are worth telling, and how long to go on.

Axes: ``step`` (clauses told), ``length`` (0 clauses, 1, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from eval.explanation.rules.bits import growing_bits
from eval.explanation.rules.rule import Clause, Rule, in_levels


@dataclass(frozen=True, eq=False)
class Fitted:
    """clauses: most worth telling first, values not yet in levels. rest: the rest's value at each length.
    correlation: at each length on the calibrate documents, NaN where it was not looked at (0 without any). last_first:
    whether the clause told last stands first in the printed rule."""

    form: str
    clauses: Sequence[Clause]
    rest: Float[np.ndarray, " length"]
    correlation: Float[np.ndarray, " length"]
    last_first: bool = False
    _costs: dict[int, np.ndarray] = field(default_factory=dict, init=False)

    def rule(self, n: int) -> Rule:
        """The rule of the first ``n`` clauses, as it is printed."""
        values = in_levels([*(clause.value for clause in self.clauses[:n]), float(self.rest[n])])
        told = [
            Clause(clause.words, value, clause.first)
            for clause, value in zip(self.clauses[:n], values[:-1], strict=True)
        ]
        return Rule(self.form, tuple(reversed(told) if self.last_first else told), values[-1])

    def within(self, bits: float, vocabulary: int) -> tuple[Rule, float] | None:
        """The rule that does best on the calibrate documents of those that cost at most ``bits``, and its correlation
        there; ``None`` where not even one clause fits."""
        longest = self.longest(bits, vocabulary)
        if not longest:
            return None
        known = self.correlation[1 : longest + 1]
        if np.isnan(known).all():
            return self.rule(longest), float("nan")
        best = int(np.nanargmax(known)) + 1
        return self.rule(best), float(self.correlation[best])

    def longest(self, bits: float, vocabulary: int) -> int:
        """How many clauses a budget buys."""
        if vocabulary not in self._costs:
            self._costs[vocabulary] = growing_bits(self.form, self.clauses, vocabulary)
        return max(0, int(np.searchsorted(self._costs[vocabulary], bits + 1e-9, side="right")) - 1)


def looked_at(
    n: int,
    predict: Callable[[int], Float[np.ndarray, " place"]],
    truth: Float[np.ndarray, " place"],
    most: int | None = None,
) -> Float[np.ndarray, " length"]:
    """Correlations at lengths 1, 2, 3, 4, 6, 8, 12, ... and ``n``, up to ``most``; NaN between them."""
    most = n if most is None else min(n, most)
    out = np.full(most + 1, np.nan)
    if len(truth) and np.ptp(truth) > 0:
        for length in {n, *(length for power in range(12) for length in (2**power, 3 * 2**power) if length <= n)}:
            if 0 < length <= most:
                predicted = predict(length)
                out[length] = np.corrcoef(predicted, truth)[0, 1] if np.ptp(predicted) > 0 else 0.0
    return out
