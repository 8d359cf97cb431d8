"""Explainers that need no language model: the explanation is a printed rule, and the rule is all that is scored.

Fitted on the explain documents, its length chosen on the calibrate documents, at most as long as a bit budget.
Where a budget does not buy one clause, the explanation is the best bare word. A decision list or another rule that
does worse on the calibrate documents than a plain token list of the same budget gives way to that list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import floor

import numpy as np

from eval.errors import known_name
from eval.explanation.explainers import Explanation
from eval.explanation.records import LEVELS, Book
from eval.explanation.rules.bits import LADDER, budget, clause_bits, rule_bits, table_bits
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
        self._fitted: tuple[Book, dict[tuple[str, int], Fitted]] | None = None

    def explain(self, book: Book, units: Sequence[int]) -> list[Explanation]:
        bits = self.bits or budget(WORDS, book.windows.vocabulary_size)
        return [self.at_lengths(book, unit, [bits])[0] for unit in units]

    def at_lengths(self, book: Book, unit: int, budgets: Sequence[float]) -> list[Explanation]:
        """The explanation of a unit at each budget in bits, from one fit."""
        problem = book.problem(unit)
        if problem:
            return [Explanation("", reason=problem) for _ in budgets]
        vocabulary = book.windows.vocabulary_size
        most = max(*budgets, budget(LADDER[-1], vocabulary))
        lists = self._kept(book, TOKEN_LOOKUP, unit, lambda: fit_list(book, unit, most))
        if self.name == TOKEN_LOOKUP:
            rules = [self._listed(lists, bits, vocabulary) for bits in budgets]
            return [as_explanation(rule, vocabulary) for rule in rules]
        reading, fit = reading_of(book), FITS[self.name]
        fitted = self._kept(book, self.name, unit, lambda: fit(reading, *targets(book, unit), vocabulary, most))
        out = []
        for bits in budgets:
            found = [one for one in (fitted.within(bits, vocabulary), lists.within(bits, vocabulary)) if one]
            if found:
                best = max(found, key=lambda one: np.nan_to_num(one[1], nan=-1.0))[0]
            else:
                best = Rule("words", (Clause((best_word(reading, targets(book, unit)[0]),), FULL),))
            out.append(as_explanation(best, vocabulary))
        return out

    def _kept(self, book: Book, form: str, unit: int, fit: Callable[[], Fitted]) -> Fitted:
        """The unit's fit, kept while one book is explained: the run's own budget and every length read one fit."""
        if self._fitted is None or self._fitted[0] is not book:
            self._fitted = (book, {})
        kept = self._fitted[1]
        if (form, unit) not in kept:
            kept[form, unit] = fit()
        return kept[form, unit]

    def _listed(self, lists: Fitted, bits: float, vocabulary: int) -> Rule:
        """As many of the ranked tokens as the budget buys; one bare word where it buys no level."""
        longest = lists.longest(bits, vocabulary)
        return lists.rule(longest) if longest else Rule("words", (Clause(lists.clauses[0].words, FULL),))


def fit_list(book: Book, unit: int, bits: float) -> Fitted:
    """The token list: ranked by mean activation on the explain documents, shrunk to the prior since a token seen once
    proves little (`TokenTable.predict`); the rest is 0. Tokens that print alike are one. As long as ``bits`` buys."""
    table, scale, vocabulary = book.table(unit), float(book.scale[unit]), book.windows.vocabulary_size
    listed = _listed_words(book)
    shrunk = LEVELS * table.predict(table.tokens) / scale
    order = np.argsort(-shrunk, kind="stable")
    first = np.sort(np.unique(listed.of_token[order], return_index=True)[1])  # of tokens that print alike, the best
    ranked, n = listed.of_token[order[first]], len(first)
    turn = np.full(n + 1, n)  # the last: words that the explain documents never show
    turn[ranked] = np.arange(n)
    values, there = np.append(shrunk[order[first]], 0.0), turn[listed.of_calibrate]
    each = clause_bits("list", 1, vocabulary)
    most = n if bits >= table_bits(vocabulary) else max(1, min(n, floor(bits / each) + 1))
    truth = (LEVELS * book.unit_values("calibrate", unit).ravel() / scale).astype(np.float64)
    correlation = looked_at(n, lambda length: np.where(there < length, values[there], 0.0), truth, most)
    clauses = [
        Clause((listed.words[word],), value)
        for word, value in zip(ranked[:most].tolist(), values[:most].tolist(), strict=True)
    ]
    return Fitted("list", clauses, np.zeros(most + 1), correlation)


@dataclass(frozen=True, eq=False)
class _Listed:
    """words: as printed. of_token: [token] the word of each token of the explain documents. of_calibrate: [place] the
    word at each place of the calibrate windows; ``len(words)`` for one that the explain documents never show."""

    words: tuple[str, ...]
    of_token: np.ndarray
    of_calibrate: np.ndarray


def _listed_words(book: Book) -> _Listed:
    """Made once for all books that share their windows."""
    windows, numbers = book.windows, book.shared["calibrate"]
    tokens = book.explain_tokens
    key = ("listed words", tokens.tobytes(), numbers.tobytes())
    if key not in windows.memory:
        number: dict[str, int] = {}
        of_token = [number.setdefault(quoted(windows.strings[token]), len(number)) for token in tokens.tolist()]
        texts = (quoted(token) for window in numbers for token in windows.words(int(window))[1])
        of_calibrate = [number.get(text, len(number)) for text in texts]
        windows.memory[key] = _Listed(tuple(number), np.array(of_token, int), np.array(of_calibrate, int))
    return windows.memory[key]
