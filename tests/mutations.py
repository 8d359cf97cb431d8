"""Small changes of a program that its tests should notice: which there are, and the source with one of them.

Left alone: docstrings, annotations, literal types, decorators, words of errors and options, f-strings; a change there
is no change of what is computed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.Mod: ast.FloorDiv, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
PAIRS = ("min max", "argmin argmax", "minimum maximum", "any all", "floor ceil", "zeros ones", "searchsorted digitize")
CALLS = {a: b for pair in PAIRS for a, b in (pair.split(), reversed(pair.split()))}
WORDS = {"holds": "fails", "fails": "holds", "cannot tell": "holds", "above": "below", "below": "above"}
WORDS_ONLY = ("raise", "option", "UserError", "note", "caption", "help", "label", "prediction", "claim", "source")


@dataclass(frozen=True)
class Mutation:
    """The change with this number (in order of the tree), where it stands and what it does."""

    number: int
    line: int
    change: str
    reach: frozenset[int] = frozenset()
    """Lines of which a test must execute one to meet the change; none where any test of the file meets it."""


def mutations(source: str) -> list[Mutation]:
    """Every mutation of a source."""
    tree = ast.parse(source)
    reached = _reached(tree)
    changes = enumerate(_changes(tree))
    return [Mutation(n, node.lineno, words, reached.get(node, frozenset())) for n, (node, words, _) in changes]


def _reached(tree: ast.Module) -> dict[ast.AST, frozenset[int]]:
    """For each node: the lines of its statement; for a default those of the function, for a constant's value its uses,
    and for both their own, which a test executes that runs the module anew."""
    found: dict[ast.AST, frozenset[int]] = {}

    def lines(first: ast.AST, last: ast.AST) -> frozenset[int]:
        return frozenset(range(first.lineno, last.end_lineno + 1))  # type: ignore[attr-defined]

    def visit(node: ast.AST, reach: frozenset[int], inside: bool) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = lines(node.body[0], node.body[-1])
            for child in ast.iter_child_nodes(node):
                inner = child in node.body
                visit(child, body if inner else body | {node.lineno}, inner)
            return
        if isinstance(node, ast.stmt) and inside:
            blocks = [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
            end = min((child.lineno for child in blocks), default=(node.end_lineno or node.lineno) + 1)
            reach = frozenset(range(node.lineno, max(end, node.lineno + 1)))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            uses = _uses(tree, {name.id for name in targets if isinstance(name, ast.Name)})
            reach = uses | lines(node, node) if uses else reach
        found[node] = reach
        for child in ast.iter_child_nodes(node):
            visit(child, reach, inside)

    visit(tree, frozenset(), False)
    return found


def _uses(tree: ast.Module, names: set[str]) -> frozenset[int]:
    """The lines that read one of the names, as a variable or as an attribute."""
    places = (node for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute)))
    return frozenset(
        node.lineno
        for node in places
        if isinstance(node.ctx, ast.Load) and (node.id if isinstance(node, ast.Name) else node.attr) in names
    )


def mutated(source: str, mutation: Mutation) -> str:
    """The source with that one change."""
    tree = ast.parse(source)
    for number, (_, _, apply) in enumerate(_changes(tree)):
        if number == mutation.number:
            apply()
            break
    return ast.unparse(ast.fix_missing_locations(tree))


def _computing(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below that compute something."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.Raise, ast.JoinedStr)):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.Subscript) and getattr(child.value, "id", "") == "Literal":
                continue
            if isinstance(child, ast.keyword) and child.arg in WORDS_ONLY:
                continue
            if isinstance(child, ast.Call) and getattr(child.func, "id", "") in ("option", "UserError", "TypeVar"):
                continue
            yield child
            yield from _computing(child)


def _changes(tree: ast.AST) -> Iterator[tuple[Any, str, Any]]:
    """(node, words, function that makes the change in place) of every mutation."""
    for node in _computing(tree):
        if isinstance(node, ast.Compare):
            for index, old in enumerate(node.ops):
                if type(old) in COMPARISONS:
                    yield _replaced(node, node.ops, index, COMPARISONS[type(old)]())
        elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC:
            yield _set(node, node, "op", ARITHMETIC[type(node.op)]())
        elif isinstance(node, ast.BoolOp):
            yield _set(node, node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            yield _set(node, node, "op", ast.UAdd())
        elif isinstance(node, (ast.If, ast.IfExp)):
            yield _set(node, node, "test", ast.UnaryOp(ast.Not(), node.test))
        elif isinstance(node, ast.Constant):
            yield from _constant(node)
        elif isinstance(node, ast.Call):
            yield from _call(node)


def _constant(node: ast.Constant) -> Iterator[tuple[Any, str, Any]]:
    value = node.value
    if isinstance(value, bool):
        yield _set(node, node, "value", not value)
    elif isinstance(value, int):
        yield _set(node, node, "value", value + 1)
    elif isinstance(value, float):
        yield _set(node, node, "value", 2 * value + 0.5)
    elif isinstance(value, str) and value in WORDS:
        yield _set(node, node, "value", WORDS[value])


def _call(node: ast.Call) -> Iterator[tuple[Any, str, Any]]:
    name = "id" if isinstance(node.func, ast.Name) else "attr"
    old = getattr(node.func, name, "")
    if old in CALLS:
        yield _set(node, node.func, name, CALLS[old])


def _set(node: Any, owner: Any, name: str, new: Any) -> tuple[Any, str, Any]:
    return node, f"{_words(getattr(owner, name))} -> {_words(new)}", lambda: setattr(owner, name, new)


def _replaced(node: Any, items: list[Any], index: int, new: Any) -> tuple[Any, str, Any]:
    return node, f"{_words(items[index])} -> {_words(new)}", lambda: items.__setitem__(index, new)


def _words(value: Any) -> str:
    if isinstance(value, ast.expr):
        return ast.unparse(ast.fix_missing_locations(value))[:60]
    return type(value).__name__ if isinstance(value, ast.AST) else repr(value)
