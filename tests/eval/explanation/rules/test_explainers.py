"""Rules on planted units: each form finds what it can say, is scored on what it prints, and keeps to its budget."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation.comparison.length_rows import length_differences, length_rows
from eval.explanation.comparison.statistics import against_rivals, by_layer
from eval.explanation.evaluate import Settings, explain_and_score, rules_only
from eval.explanation.rules.bits import LEVEL, budget, rule_bits, word_bits
from eval.explanation.rules.explainers import NAMES, RuleExplainer
from eval.explanation.rules.printing import read_rule
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from tests.eval.explanation.planted import VOCABULARY, fires_on, make_book, make_windows

FAST = Settings(n_resamples=50)
EXACT = 0.02
LEAST = {"decision-list": 0.9, "back-off": 0.9, "token-graph": 0.9, "lag-weights": 0.9}
"""A token list reaches 0.73; a shorter run's value is its mean over all places, a sum cannot say `and`."""


def after(first: int, second: int):
    """Fires on ``second`` after ``first``, a little on ``second`` elsewhere."""

    def function(kept: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        before = np.zeros_like(kept)
        before[:, 1:] = kept[:, :-1]
        value = np.where(kept == second, np.where(before == first, 1.0, 0.1), 0.0)
        return value + EXACT * generator.standard_normal(kept.shape)

    return function


@pytest.fixture(scope="module")
def book():
    windows = make_windows(n_documents=200, per_document=8)
    windows.tokens[:, 2::7] = np.where(windows.tokens[:, 1::7][:, : windows.tokens[:, 2::7].shape[1]] < 50, 5, 7)
    windows.tokens[:, 1::7] = np.where(windows.tokens[:, 1::7] < 25, 3, windows.tokens[:, 1::7])
    return make_book(windows, {Unit("neuron", 0, 0): after(3, 5), Unit("neuron", 0, 1): fires_on(7, noise=EXACT)})


@pytest.mark.parametrize("form", [name for name in NAMES if name != "token-lookup"])
def test_context_that_a_token_list_cannot_say(book, form: str) -> None:
    with_context = rules_only(book, FAST, form=form)[0].primary.value
    of_tokens = rules_only(book, FAST)[0].primary.value
    assert with_context > of_tokens + 0.1
    assert with_context > LEAST[form]


def test_the_decision_list_says_what_was_planted(book) -> None:
    (told,) = RuleExplainer("decision-list", bits=60).at_lengths(book, 0, [60])
    rule = read_rule(told.text)
    assert rule.clauses[0].words[:2] == (" w5", " w3") and rule.clauses[0].value >= 0.8 * rule.largest


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("words", [1, 3, 12])
def test_a_rule_keeps_to_its_budget_and_costs_what_it_prints(book, form: str, words: int) -> None:
    bits = budget(words, VOCABULARY)
    (told,) = RuleExplainer(form, bits).explain(book, [1])
    assert told.bits == rule_bits(read_rule(told.text), VOCABULARY) <= bits + 1e-9


@pytest.mark.parametrize("form", NAMES)
def test_the_smallest_budget_is_a_bare_word(book, form: str) -> None:
    (told,) = RuleExplainer(form).at_lengths(book, 1, [word_bits(VOCABULARY)])
    assert told.text == "` w7`" and told.bits == word_bits(VOCABULARY)


def test_scores_by_length_rise_to_the_whole_table_and_are_those_of_the_printed_text(book) -> None:
    results = rules_only(book, FAST)
    lengths = {one.length: one for one in results[0].lengths}
    assert list(lengths) == ["1 bare word", "1 word", "3 words", "12 words", "whole table"]
    assert lengths["12 words"].score.value == pytest.approx(results[0].primary.value)
    assert lengths["12 words"].bits == results[0].bits <= 12 * (word_bits(VOCABULARY) + LEVEL)
    assert lengths["whole table"].score.value == pytest.approx(results[0].upper_bound.value)
    (row,) = by_layer(results, lambda result: result.primary)
    assert row.bits == results[0].bits and row.upper_bound is not None and row.upper_bound > 0
    assert {row.to_json()["length"] for row in length_rows(results)} == set(lengths)


def test_kinds_are_compared_at_each_length() -> None:
    units = {Unit("neuron", 0, i): fires_on(i) for i in range(8)}
    units |= {Unit("random", 0, i): lambda kept, g: g.standard_normal(kept.shape) for i in range(8)}
    rows = length_differences(
        rules_only(make_book(make_windows(), units), FAST), [("neuron", "random")], n_resamples=50
    )
    assert len(rows) == 5 and all(row.difference.difference.value > 0.5 for row in rows)


def test_rivals_are_paired_at_the_same_budget(book) -> None:
    settings = Settings(n_resamples=20, against=("token-lookup",), lengths=False)
    results = explain_and_score(book, RuleExplainer(), RuleSimulator(), settings=settings)
    (row,) = against_rivals(results)
    assert (row.rival, row.kind, row.difference.n) == ("token-lookup", "neuron", 2)
    assert row.difference.value == pytest.approx(row.mean - row.rival_mean) and row.difference.value > 0
    assert results[0].lengths == ()


def test_records_without_windows_to_fit_on_are_refused(book) -> None:
    empty = make_book(make_windows(), {Unit("neuron", 0, 0): fires_on(7)})
    empty.fitted_on = np.zeros(0, dtype=int)
    with pytest.raises(UserError, match="expected records with windows to fit rules on"):
        RuleExplainer().explain(empty, [0])
