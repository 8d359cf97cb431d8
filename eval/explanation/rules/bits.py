"""Description length of an explanation in bits, so that kinds of units can be compared at equal length.

|V| is the size of the subject's vocabulary. A token costs log2 |V|, a level (0..10) or a weight log2 11.

| what is said | bits |
|---|---|
| ``words``: n bare words | n log2 abs(V) |
| ``list``: n words with a level | n (log2 abs(V) + log2 11); level 10 goes to the first, whose own level is the scale |
| ``back-off``, ``decision-list``, ``lag-weights`` | the number of clauses (Elias gamma) + for each its shape, its \
tokens, its level (a weight: and its sign) + the rest's level |
| ``token-graph`` | for each node its token, three bits (has a value, has a child, has a sibling), its level if it has \
one + the rest's level |
| the whole token table | abs(V) log2 11; words and lists never cost more |
| prose | its tokens, log2 abs(V) each |

Shapes: back-off 1 of 3 lengths; decision list 1 of 7 choices of lags or 5 places at the head of a window; a weight's
lag 1 of 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log2

import numpy as np
from jaxtyping import Float

from eval.explanation.rules.rule import LAGS, Clause, Rule

LEVEL = log2(11)
HEADS = (1, 2, 4, 8, 16)
"""How many leading positions of a window a decision list may speak of."""
_SHAPES = {"back-off": log2(LAGS), "decision-list": log2(2**LAGS - 1 + len(HEADS)), "lag-weights": log2(LAGS) + 1}
LADDER = (1, 3, 12, 48, 192)
"""Lengths at which kinds are compared, in words with a level; a bare word and the whole table are the ends."""
BARE_WORD, WHOLE_TABLE = "1 bare word", "whole table"


def word_bits(vocabulary: int) -> float:
    """Bits of a bare word: log2 |V|."""
    return log2(vocabulary)


def table_bits(vocabulary: int) -> float:
    """Bits of the whole token table: |V| log2 11."""
    return vocabulary * LEVEL


def budget(words: int, vocabulary: int) -> float:
    """Bits of ``words`` words with a level, at most those of the table."""
    return min(words * (word_bits(vocabulary) + LEVEL), table_bits(vocabulary))


def ladder(vocabulary: int) -> dict[str, float]:
    """The lengths to compare at, by name, short ones first: bits; the whole table is not among them."""
    steps = {f"{words} word{'s' if words > 1 else ''}": budget(words, vocabulary) for words in LADDER}
    return {BARE_WORD: word_bits(vocabulary)} | {
        name: bits for name, bits in steps.items() if bits < table_bits(vocabulary)
    }


def prose_bits(n_tokens: int, vocabulary: int) -> float:
    """Bits of free words: their tokens."""
    return n_tokens * word_bits(vocabulary)


def clause_bits(form: str, n_words: int, vocabulary: int) -> float:
    """Bits of one clause of a rule (not of a graph, whose nodes share what they have in common)."""
    if form == "words":
        return n_words * word_bits(vocabulary)
    return _SHAPES.get(form, 0.0) + n_words * word_bits(vocabulary) + LEVEL


def count_bits(n: int) -> float:
    """Elias gamma code of n + 1: 2 floor(log2(n + 1)) + 1 bits."""
    return 2 * floor(log2(n + 1)) + 1


def rule_bits(rule: Rule, vocabulary: int) -> float:
    """Bits of a rule as it is printed."""
    return float(growing_bits(rule.form, rule.clauses, vocabulary)[-1])


def growing_bits(form: str, clauses: Sequence[Clause], vocabulary: int) -> Float[np.ndarray, " length"]:
    """Bits of the rule of the first 0, 1, 2, ... clauses."""
    if form == "token-graph":
        return _graph_bits(clauses, vocabulary)
    by_size = [clause_bits(form, size, vocabulary) for size in range(LAGS + 1)]
    each = [by_size[sum(word is not None for word in clause.words)] for clause in clauses]
    told = np.concatenate([[0.0], np.cumsum(each)])
    if form in ("words", "list"):
        return np.minimum(told, table_bits(vocabulary))
    return np.array([count_bits(n) for n in range(len(told))]) + told + LEVEL


def _graph_bits(clauses: Sequence[Clause], vocabulary: int) -> Float[np.ndarray, " length"]:
    paths: set[tuple[str | None, ...]] = set()
    nodes: set[tuple[str | None, ...]] = set()
    counts = [(0, 0)]
    for clause in clauses:
        paths.add(clause.words)
        nodes.update(clause.words[:length] for length in range(1, len(clause.words) + 1))
        counts.append((len(nodes), len(paths)))
    n_nodes, n_paths = np.array(counts).T
    return n_nodes * (word_bits(vocabulary) + 3) + n_paths * LEVEL + LEVEL
