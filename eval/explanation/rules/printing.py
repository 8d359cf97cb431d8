"""A rule as text and back: the text is the whole explanation, so reading it must give the rule again.

` war` 7, ` wars` 6.3                                     list (words: without values)
first match: ` of` after ` out` 7; any in the first 4 2; ` of` 0.7; else 0.3
longest match: ` of` 0.7; ` of` after ` out` 7; else 0.3
graph: ` of` 0.7 [` out` 7 [` run` 3]]; else 0.3          read backwards from the token
sum: ` of` 3; any after ` out` -2; base 0.3
"""

from __future__ import annotations

import re
from functools import lru_cache

from eval.errors import UserError
from eval.explanation.rules.rule import FULL, Clause, Rule

HEADS = {"decision-list": "first match: ", "back-off": "longest match: ", "lag-weights": "sum: "}
GRAPH = "graph: "
_REST = {"lag-weights": "base"}
_WORD = r"`(?:[^`\\]|\\.)*`"
_CLAUSE = re.compile(rf"(any|{_WORD})((?: after (?:any|{_WORD}))*)(?: in the first (\d+))?(?: (-?[\d.]+))?(?:; |, |$)")
_NODE = re.compile(rf"\s*(?:({_WORD})(?: (-?[\d.]+))?|(\[)|(\])|(; else ([\d.]+)$))")


def printed(rule: Rule) -> str:
    """The rule in one line."""
    if rule.form == "words":
        return ", ".join(f"`{clause.words[0]}`" for clause in rule.clauses)
    if rule.form == "list":
        return ", ".join(f"`{clause.words[0]}` {clause.value:g}" for clause in rule.clauses)
    if rule.form == "token-graph":
        return f"{GRAPH}{_tree(_nested(rule))}; else {rule.rest:g}"
    parts = [*map(_clause, rule.clauses), f"{_REST.get(rule.form, 'else')} {rule.rest:g}"]
    return HEADS[rule.form] + "; ".join(parts)


def _clause(clause: Clause) -> str:
    words = " after ".join("any" if word is None else f"`{word}`" for word in clause.words)
    place = f" in the first {clause.first}" if clause.first else ""
    return f"{words}{place} {clause.value:g}"


Tree = dict[str, tuple[float | None, "Tree"]]


def _nested(rule: Rule) -> Tree:
    out: Tree = {}
    for clause in sorted(rule.clauses, key=lambda clause: len(clause.words)):
        here = out
        for lag, word in enumerate(clause.words):
            assert word is not None
            value, children = here.get(word, (None, {}))
            here[word] = (clause.value if lag == len(clause.words) - 1 else value, children)
            here = children
    return out


def _tree(tree: Tree) -> str:
    parts = []
    for word, (value, children) in tree.items():
        inner = f" [{_tree(children)}]" if children else ""
        parts.append(f"`{word}`{'' if value is None else f' {value:g}'}{inner}")
    return " ".join(parts)


@lru_cache(maxsize=1024)
def read_rule(text: str) -> Rule:
    """The rule that a text prints.

    Raises `UserError` for a text that is no printed rule.
    """
    if text.startswith(GRAPH):
        return _read_graph(text)
    form = next((form for form, head in HEADS.items() if text.startswith(head)), "list")
    body, rest = text.removeprefix(HEADS.get(form, "")), 0.0
    if form in HEADS:
        body, _, last = body.rpartition(f"{_REST.get(form, 'else')} ")
        rest = _number(last, text)
    clauses, place = [], 0
    while place < len(body):
        match = _CLAUSE.match(body, place)
        if match is None:
            raise _unreadable(text)
        token, before, first, value = match.groups()
        words = [token, *(re.findall(rf"any|{_WORD}", before))]
        if value is None:
            form = "words"
        clauses.append(
            Clause(
                tuple(None if word == "any" else word[1:-1] for word in words),
                FULL if value is None else float(value),
                int(first or 0),
            )
        )
        place = match.end()
    if not clauses and form not in HEADS:
        raise _unreadable(text)
    return Rule(form, tuple(clauses), rest)


def _read_graph(text: str) -> Rule:
    clauses: list[Clause] = []
    path: list[str] = []
    last, place, rest = "", len(GRAPH), 0.0
    while place < len(text):
        match = _NODE.match(text, place)
        if match is None:
            raise _unreadable(text)
        word, value, opened, closed, ended, number = match.groups()
        if word:
            last = word[1:-1]
            if value is not None:
                clauses.append(Clause((*path, last), float(value)))
        elif opened:
            path.append(last)
        elif closed:
            path.pop()
        elif ended:
            rest = float(number)
        place = match.end()
    return Rule("token-graph", tuple(clauses), rest)


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _unreadable(whole) from None


def _unreadable(text: str) -> UserError:
    return UserError(
        f"expected a printed rule (tokens in backticks), got {text[:60]!r}; "
        "use a language model as --simulator, or an explainer that prints rules"
    )
