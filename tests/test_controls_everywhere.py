"""Every statement of a source and every prediction of ours is judged beside a control, in every wing.

A claim is made by `judged_claim`, `claim_over_seeds` or `Claim` itself. Each such call names its controls, or is of a
kind that needs none (a theorem, a self-test); and a function that hands controls on has no default without them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.claims import COUNTED, KINDS
from eval.scores import Score
from eval.verdicts import above, judged_claim

ROOT = Path(__file__).resolve().parents[1]
MAKERS = ("judged_claim", "claim_over_seeds", "Claim")
ENGINE = ("eval/claims.py", "eval/verdicts.py", "eval/experiment.py")
"""Where the makers themselves stand."""
FREE = tuple(kind for kind in KINDS if kind not in COUNTED)


def without_control(source: str) -> Iterator[tuple[int, str]]:
    """Line and reason of each claim in a module that is made without a control."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
            given = {word.arg: word.value for word in node.keywords}
            kind = given.get("kind")
            free = isinstance(kind, ast.Constant) and kind.value in FREE
            if not free and ("controls" not in given or _leaves_out(given["controls"])):
                yield node.lineno, f"{ast.unparse(node.func)} of a counted kind names no controls"
        if isinstance(node, ast.FunctionDef):
            yield from _with_default(node)


def _with_default(node: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    names = [*node.args.posonlyargs, *node.args.args]
    pairs = list(zip(reversed(names), reversed(node.args.defaults), strict=False))
    pairs += list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
    for name, default in pairs:
        if name.arg == "controls" and default is not None:
            yield node.lineno, f"{node.name} has a default for controls"


def _leaves_out(value: ast.expr) -> bool:
    """A literal nothing."""
    return (isinstance(value, ast.Constant) and value.value is None) or (isinstance(value, ast.Dict) and not value.keys)


def modules() -> list[str]:
    packages = ("eval", "llm_codes", "vision_codes", "toy")
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    mine = [str(path.relative_to(ROOT)) for path in paths if any(f"{name}(" in path.read_text() for name in MAKERS)]
    return [path for path in mine if path not in ENGINE]


def test_no_module_makes_a_claim_without_a_control() -> None:
    found = [f"{path}:{line}: {why}" for path in modules() for line, why in without_control((ROOT / path).read_text())]
    assert len(modules()) >= 14, "every wing makes claims"
    assert not found, "\n".join(found)


def with_error(source: str) -> list[int]:
    """Lines of claims that are given a standard error: of which quantity, nothing says."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [
        node.lineno
        for node in calls
        if getattr(node.func, "id", "") in MAKERS and "standard_error" in [word.arg for word in node.keywords]
    ]


def test_no_claim_has_an_error_beside_its_interval() -> None:
    """The error of a claim is the interval of the number that it is judged by, and no other quantity's."""
    assert [path for path in modules() if with_error((ROOT / path).read_text())] == []
    assert with_error("x = 1\nClaim('a', 'b', 'c', 1.0, 'holds', standard_error=0.1)") == [2]


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("judged_claim('a', 'b', 'c', score, region, controls=beside)", False),
        ("judged_claim('a', 'b', 'c', score, region)", True),
        ("claim_over_seeds('a', 'b', 'c', score, region, controls=None)", True),
        ("claim_over_seeds('a', 'b', 'c', score, region, controls={})", True),
        ("judged_claim('a', 'b', 'c', score, region, kind='theorem')", False),
        ("judged_claim('a', 'b', 'c', score, region, kind='prediction of ours')", True),
        ("Claim('a', 'b', 'c', 1.0, 'holds')", True),
        ("def claim(words, controls=None):\n    return judged_claim(words, controls=controls)", True),
        ("def claim(words, *, controls):\n    return judged_claim(words, controls=controls)", False),
    ],
)
def test_a_claim_without_a_control_is_found(source: str, wrong: bool) -> None:
    assert bool(list(without_control(source))) == wrong


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_not_counted_can_hold_without_a_control(kind) -> None:
    claim = judged_claim("a", "b", "above 0", Score(1.0, 0.9, 1.1), above(0.0), kind=kind)
    assert claim.verdict == ("cannot tell" if kind in COUNTED else "holds")
    assert ("no control was measured" in claim.note) == (kind in COUNTED)
    failed = judged_claim("a", "b", "above 0", Score(-1.0, -1.1, -0.9), above(0.0), kind=kind)
    assert failed.verdict == "fails"
