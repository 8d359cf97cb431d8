"""Explainers that need no language model: the explanation is a printed rule, and the rule is all that is scored.

Fitted on the explain documents, its length chosen on the calibrate documents, at most as long as a bit budget.
Where a budget does not buy one clause, the explanation is the best bare word. A decision list or another rule that
does worse on the calibrate documents than a plain token list of the same budget gives way to that list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from eval.errors import known_name
from eval.explanation.explainers import Explanation
from eval.explanation.records import LEVELS, Book
from eval.explanation.rules.bits import LADDER, budget, rule_bits
from eval.explanation.rules.fits import best_word, fit_decision_list, fit_lag_weights, fit_runs
from eval.explanation.rules.fitted import Fitted, looked_at
from eval.explanation.rules.printing import printed
from eval.explanation.rules.reading import Reading, reading_of, targets
from eval.explanation.rules.rule import FULL, Clause, Rule, quoted

WORDS = 12
"""The default budget, in words with a level."""
Fit = Callable[[Reading, np.ndarray, np.ndarray, int, float], Fitted]
FITS: dict[str, Fit] = {
    "back-off": partial(fit_runs, "back-off"),
    "decision-list": fit_decision_list,
    "token-graph": partial(fit_runs, "token-graph"),
    "lag-weights": fit_lag_weights,
}
TOKEN_LOOKUP = "token-lookup"
NAMES = (TOKEN_LOOKUP, *FITS)


def as_explanation(rule: Rule, vocabulary: int) -> Explanation:
    """A rule as the explanation that prints it."""
    return Explanation(printed(rule), bits=rule_bits(rule, vocabulary))


class RuleExplainer:
    """Explains by a printed rule. form: a member of ``NAMES``. bits: its budget; 0: that of 12 words with a level."""

    def __init__(self, form: str = "decision-list", bits: float = 0.0) -> None:
        self.name = known_name(form, NAMES, "explainer")
        self.bits = bits
        self._fitted: tuple[Book, dict[int, Fitted]] | None = None

    def explain(self, book: Book, units: Sequence[int]) -> list[Explanation]:
        bits = self.bits or budget(WORDS, book.windows.vocabulary_size)
        return [self.at_lengths(book, unit, [bits])[0] for unit in units]

    def at_lengths(self, book: Book, unit: int, budgets: Sequence[float]) -> list[Explanation]:
        """The explanation of a unit at each budget in bits, from one fit."""
        problem = book.problem(unit)
        if problem:
            return [Explanation("", reason=problem) for _ in budgets]
        vocabulary = book.windows.vocabulary_size
        lists = fit_list(book, unit)
        if self.name == TOKEN_LOOKUP:
            rules = [self._listed(lists, bits, vocabulary) for bits in budgets]
            return [as_explanation(rule, vocabulary) for rule in rules]
        reading = reading_of(book)
        fitted = self._fit(book, unit, reading, max(*budgets, budget(LADDER[-1], vocabulary)))
        out = []
        for bits in budgets:
            found = [one for one in (fitted.within(bits, vocabulary), lists.within(bits, vocabulary)) if one]
            if found:
                best = max(found, key=lambda one: np.nan_to_num(one[1], nan=-1.0))[0]
            else:
                best = Rule("words", (Clause((best_word(reading, targets(book, unit)[0]),), FULL),))
            out.append(as_explanation(best, vocabulary))
        return out

    def _fit(self, book: Book, unit: int, reading: Reading, bits: float) -> Fitted:
        """The unit's fit, kept while one book is explained: the run's own budget and every length read one fit."""
        if self._fitted is None or self._fitted[0] is not book:
            self._fitted = (book, {})
        kept = self._fitted[1]
        if unit not in kept:
            kept[unit] = FITS[self.name](reading, *targets(book, unit), book.windows.vocabulary_size, bits)
        return kept[unit]

    def _listed(self, lists: Fitted, bits: float, vocabulary: int) -> Rule:
        """As many of the ranked tokens as the budget buys; one bare word where it buys no level."""
        longest = lists.longest(bits, vocabulary)
        return lists.rule(longest) if longest else Rule("words", (Clause(lists.clauses[0].words, FULL),))


def fit_list(book: Book, unit: int) -> Fitted:
    """The token list: ranked by mean activation on the explain documents, shrunk to the prior since a token seen once
    proves little (`TokenTable.predict`); the rest is 0. Tokens that print alike are one."""
    table, strings = book.table(unit), book.windows.strings
    shrunk = LEVELS * table.predict(table.tokens) / float(book.scale[unit])
    best: dict[str, float] = {}
    for place in np.argsort(-shrunk, kind="stable"):
        best.setdefault(quoted(strings[int(table.tokens[place])]), float(shrunk[place]))
    words = list(best)
    turn = {word: place for place, word in enumerate(words)}
    truth = LEVELS * book.shared_values("calibrate")[:, :, unit].ravel() / float(book.scale[unit])
    there = np.array([turn.get(word, len(words)) for word in _calibrate_words(book)])
    values = np.array([*best.values(), 0.0])
    correlation = looked_at(len(words), lambda n: np.where(there < n, values[there], 0.0), truth.astype(np.float64))
    clauses = [Clause((word,), value) for word, value in best.items()]
    return Fitted("list", clauses, np.zeros(len(words) + 1), correlation)


def _calibrate_words(book: Book) -> list[str]:
    memory, numbers = book.windows.memory, book.shared["calibrate"]
    key = ("calibrate words", numbers.tobytes())
    if key not in memory:
        memory[key] = [quoted(token) for number in numbers for token in book.windows.words(int(number))[1]]
    return memory[key]
