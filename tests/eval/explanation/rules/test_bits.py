"""Bits of growing rules: those of each rule of the first clauses alone, in every form."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.rules.bits import clause_bits, count_bits, growing_bits, rule_bits, table_bits
from eval.explanation.rules.fitted import looked_at
from eval.explanation.rules.rule import Clause, Rule

VOCABULARY = 500
CLAUSES = [Clause(("a",), 3.0), Clause(("b", None, "a"), 2.0), Clause(("a", "b"), 1.0), Clause(("a", "c"), 1.0)]


@pytest.mark.parametrize("form", ["words", "list", "decision-list", "token-graph", "lag-weights"])
def test_each_length_costs_what_its_rule_costs(form: str):
    found = growing_bits(form, CLAUSES, VOCABULARY)
    alone = [rule_bits(Rule(form, tuple(CLAUSES[:n])), VOCABULARY) for n in range(len(CLAUSES) + 1)]
    np.testing.assert_allclose(found, alone)
    assert (np.diff(found) >= 0).all()


def test_a_list_never_costs_more_than_the_whole_table():
    many = [Clause((str(number),), 1.0) for number in range(2 * VOCABULARY)]
    assert growing_bits("list", many, VOCABULARY)[-1] == table_bits(VOCABULARY)
    assert growing_bits("list", many, VOCABULARY)[1] == clause_bits("list", 1, VOCABULARY)


def test_a_decision_list_says_how_many_clauses_it_has():
    one, two = growing_bits("decision-list", CLAUSES[:2], VOCABULARY)[1:]
    sizes = [clause_bits("decision-list", size, VOCABULARY) for size in (1, 2)]
    assert two - one == pytest.approx(sizes[1] + count_bits(2) - count_bits(1))


def test_no_length_beyond_the_longest_that_is_asked_for_is_looked_at():
    truth = np.arange(8.0)
    lengths: list[int] = []

    def predict(length: int) -> np.ndarray:
        lengths.append(length)
        return np.minimum(truth, length)

    found = looked_at(20, predict, truth, 5)
    assert sorted(lengths) == [1, 2, 3, 4] and len(found) == 6
    assert np.isnan(found[[0, 5]]).all() and np.isfinite(found[1:5]).all()
    np.testing.assert_array_equal(found[:5], looked_at(20, predict, truth)[:5])
