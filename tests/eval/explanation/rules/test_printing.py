"""What is printed is what is meant: every form is read back as it was, whatever its tokens hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.errors import UserError
from eval.explanation.rules.printing import printed, read_rule
from eval.explanation.rules.rule import Clause, Rule, in_levels, quoted

WORD = st.text(min_size=1, max_size=6).map(quoted)
VALUE = st.integers(0, 100).map(lambda x: x / 10)
PLAIN = st.builds(Clause, st.tuples(WORD), VALUE)
RUN = st.builds(Clause, st.lists(WORD, min_size=1, max_size=3).map(tuple), VALUE)
HEAD = st.builds(lambda first, value: Clause((None,), value, first), st.integers(1, 16), VALUE)
GAP = st.builds(lambda word, value: Clause((None, None, word), value), WORD, VALUE)


def rules(form: str, clause: st.SearchStrategy[Clause], rest: st.SearchStrategy[float], least: int = 0):
    return st.lists(clause, min_size=least, max_size=6, unique_by=lambda c: (c.words, c.first)).flatmap(
        lambda clauses: rest.map(lambda value: Rule(form, tuple(clauses), value))
    )


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        rules("list", PLAIN, st.just(0.0), 1),
        rules("decision-list", st.one_of(PLAIN, RUN, HEAD, GAP), VALUE),
        rules("back-off", RUN, VALUE),
        rules("lag-weights", st.one_of(PLAIN, GAP), VALUE),
    )
)
def test_a_printed_rule_is_read_back(rule: Rule) -> None:
    assert read_rule(printed(rule)) == rule


@settings(max_examples=40, deadline=None)
@given(rules("token-graph", RUN, VALUE, 1))
def test_a_graph_is_read_back_as_the_same_paths(rule: Rule) -> None:
    again = read_rule(printed(rule))
    assert (set(again.clauses), again.rest) == (set(rule.clauses), rule.rest)


def test_bare_words_count_10() -> None:
    rule = read_rule("` war`, ` peace`")
    assert rule == Rule("words", (Clause((" war",), 10.0), Clause((" peace",), 10.0)))


@pytest.mark.parametrize("text", ["words about war", "", "first match: words", "graph: words"])
def test_prose_is_no_rule(text: str) -> None:
    with pytest.raises(UserError, match="expected a printed rule"):
        read_rule(text)


def test_values_are_levels_of_the_largest() -> None:
    assert in_levels([4.4, 2.2, 0.1]) == [4.0, 2.0, 0.0]
    assert in_levels([0.3, -0.15]) == [0.2, -0.1]
    assert in_levels([]) == [] and in_levels([0.0]) == [0.0]
