"""No statement holds on an untrained network or on shuffled data; on a planted truth each does: all wings."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from eval.claims import Claim
from tests.claims_meta.rows import OBJECTS, Material, Row, counted, never_held, that_hold
from tests.claims_meta.table import NO_STATEMENTS, TABLE

ROOT = Path(__file__).resolve().parent.parent
JUDGES = {"Claim", "judged_claim", "claim_over_seeds"}


@cache
def claims_files() -> dict[str, Path]:
    """Every module of the four packages that is called claims, and every other that makes a claim."""
    found = {}
    for package in ("eval", "llm_codes", "vision_codes", "toy"):
        for path in (ROOT / package).rglob("*.py"):
            calls = {
                node.func.id
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            if path.stem == "claims" or calls & JUDGES:
                found[".".join(path.relative_to(ROOT).with_suffix("").parts)] = path
    return found


ENGINE = {"eval.verdicts", "eval.experiment"}


def test_every_claim_names_the_units_of_its_estimand() -> None:
    missing = [
        f"{module}:{node.lineno}"
        for module, path in claims_files().items()
        if module not in ENGINE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in JUDGES
        and "units" not in [word.arg for word in node.keywords]
    ]  # fmt: skip
    assert missing == []


def test_every_file_that_judges_has_a_row() -> None:
    """A new claims file without a row fails here: add one to `tests/claims_meta/table.py`."""
    assert set(claims_files()) - ENGINE == {*TABLE, *NO_STATEMENTS}


def marks_of(row: Row, name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xfail(reason=row.pending[name], strict=True)] if name in row.pending else []


CASES = [
    pytest.param(module, name, marks=marks_of(row, name), id=f"{module}-{name}")
    for module, row in TABLE.items()
    for name in row.objects
]


@pytest.mark.parametrize(("module", "name"), CASES)
def test_statements_on_what_is_known(
    module: str, name: str, tiny_model_folder: Path, text_folder: Path, tmp_path: Path
) -> None:
    row = TABLE[module]
    claims = row.objects[name](Material(tiny_model_folder, text_folder, tmp_path))
    assert counted(claims), "no statement was judged"
    assert all(claim.units and claim.prediction for claim in claims), "an estimand has units"
    if name == "planted":
        missing = never_held(claims)
        unexplained = [text for text in missing if not any(words in text for words in row.unplanted)]
        assert not unexplained, described(claims, unexplained)
        idle = [words for words in row.unplanted if not any(words in text for text in missing)]
        assert not idle, f"these hold on a planted truth; take them off the list: {idle}"
    else:
        assert not that_hold(claims)


def described(claims: Sequence[Claim], texts: Sequence[str]) -> list[str]:
    return [
        f"{one.claim}: {one.verdict} ({one.uncorrected}) {one.measured} {one.interval} {one.controls} {one.note}"
        for one in claims
        if one.claim in texts
    ]


def test_what_is_left_out_has_a_reason() -> None:
    for module, row in TABLE.items():
        for reason in (*row.without.values(), *row.unplanted.values(), *row.pending.values()):
            assert len(reason.split()) > 4, module


def test_a_row_names_every_object() -> None:
    with pytest.raises(ValueError, match="expected each of .* as an object or with a reason"):
        Row({"untrained": lambda material: []})
    assert Row({}, dict.fromkeys(OBJECTS, "no network at all is in it")).objects == {}
