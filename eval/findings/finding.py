"""Findings as data: one small JSON file for each documented measurement, `docs/findings/<topic>/<name>.json`.

Question answered: what was measured, by which command and code, on what, with what uncertainty, and what is there to
doubt? The pages (`eval.findings.page`) are written from these files and hold no number of their own.

    {"title": "...", "question": "...", "order": 1,
     "command": ["python -m llm_codes spectra --model embedded"],
     "code": {"commit": "eb6fbc2", "modules": ["llm_codes.lenses.spectra.study"], "fingerprint": "0123456789abcdef"},
     "inputs": ["40,172 tokens of 103 State of the Union messages"],
     "machine": "two cores", "date": "2026-11-25",
     "tables": [{"title": "...", "columns": ["layer", "alpha (95% over documents)", "verdict"],
                 "rows": [[0, {"value": -0.833, "low": -0.847, "high": -0.820, "n": 103}, "holds"]]}],
     "figures": [{"path": "docs/figures/spectra-embedded.png", "caption": "..."}],
     "notes": ["..."], "choices": ["..."], "doubts": ["..."]}

A cell is a text, a number, null (not measured), or a number with its interval, n and p. Units stand in the name of the
column. Numbers keep the digits they were written with (0.80 stays 0.80), because digits say how well a number is known.

`code.fingerprint` is `eval.code_identity.code_identity(modules)` of the code that measured; empty where that is not
known, and then only the commit says what ran.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from eval.code_identity import code_identity
from eval.errors import UserError, nearest

Number = int | Decimal


@dataclass(frozen=True)
class Measured:
    """A number with the ends of its interval, the number of units behind it, and its p, where there are such."""

    value: Number
    low: Number | None = None
    high: Number | None = None
    n: int | None = None
    p: Number | None = None


Cell = str | int | Decimal | Measured | None


@dataclass(frozen=True)
class Table:
    """Rows of equal length under named columns; `title` says what the table is of."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A drawing of the finding: its path from the project's folder, and its caption."""

    path: str
    caption: str


@dataclass(frozen=True)
class Code:
    """The code that measured: the commit, the modules that computed, and their fingerprint where it is known."""

    commit: str
    modules: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True)
class Finding:
    """One documented measurement; its fields are the keys of its file."""

    name: str
    """The file's stem; not a key of the file."""
    title: str
    question: str
    code: Code
    machine: str
    date: str
    order: int = 0
    """Its place on the topic's page."""
    command: tuple[str, ...] = ()
    """The command lines as typed, complete; a line that ends in a backslash goes on in the next."""
    no_command: str = ""
    """Why there is no command that measures it again, where there is none."""
    since: str = ""
    """What a change of its code means for its numbers, shown where the code has changed since."""
    inputs: tuple[str, ...] = ()
    """What was read, each with its hash where one was written down, else in words."""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    """What was chosen after results had been seen: a reader counts these before believing a verdict."""
    doubts: tuple[str, ...] = ()
    """What a reader should doubt about it."""


@dataclass(frozen=True)
class Topic:
    """A page of findings: folder name, title, what it is about, and its findings in their order."""

    name: str
    title: str
    about: str
    findings: tuple[Finding, ...]


def read_topics(folder: Path) -> list[Topic]:
    """Every topic that `topics.json` in `folder` lists, in that order, with its findings.

    Raises `UserError` where a file is missing, is not strict JSON, or does not have the keys and types documented
    above, and where a folder of findings is not listed.
    """
    listed = _read_json(folder / "topics.json")
    unlisted = sorted({path.parent.name for path in folder.glob("*/*.json")} - set(listed))
    if unlisted:
        raise UserError(
            f"expected every folder of findings in topics.json, got {unlisted[0]!r} beside it; list it there"
        )
    topics = []
    for name, text in listed.items():
        findings = [read_finding(path) for path in sorted((folder / name).glob("*.json"))]
        if not findings:
            raise UserError(f"expected findings in {folder / name}, got none; add a file or take it out of topics.json")
        topics.append(Topic(name, text["title"], text["about"], tuple(sorted(findings, key=lambda it: it.order))))
    return topics


def read_finding(path: Path) -> Finding:
    """The finding in one file; raises `UserError` with the file and the key that is wrong."""
    return _record(Finding, {"name": path.stem, **_read_json(path)}, str(path))


def is_current(code: Code) -> bool | None:
    """Whether today's code has the fingerprint of the code that measured; `None` where none was recorded."""
    if not code.fingerprint:
        return None
    try:
        return code_identity(code.modules) == code.fingerprint
    except UserError:  # a module that is gone is a change
        return False


def _read_json(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise UserError(f"expected numbers in {path}, got {constant}; write null for what was not measured")

    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal, parse_constant=refuse)
    except FileNotFoundError:
        raise UserError(f"expected a file {path}, found none; findings stand in docs/findings of the source") from None
    except json.JSONDecodeError as error:
        raise UserError(f"expected JSON in {path}, got {error}; mend that line") from error
    if not isinstance(found, dict):
        raise UserError(f"expected an object in {path}, got a {type(found).__name__}; see eval/findings/finding.py")
    return found


def _record(kind: type, given: Any, where: str) -> Any:
    """`kind` from a JSON object, with every key known, every required one there, and every type right."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if not isinstance(given, Mapping):
        raise UserError(
            f"{where}: expected an object of {', '.join(fields)}, got {given!r}; see eval/findings/finding.py"
        )
    for key in given:
        if key not in fields:
            raise UserError(f"{where}: expected a key of a finding, got {key!r}; {nearest(key, fields)}")
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and name not in given:
            raise UserError(f"{where}: expected the key {name!r}, found none; add it")
    values = {key: _value(str(fields[key].type), item, f"{where}: {key}") for key, item in given.items()}
    found = kind(**values)
    if isinstance(found, Table):
        _check_table(found, where)
    return found


RECORDS: dict[str, type] = {"Code": Code, "Table": Table, "Figure": Figure}


def _value(kind: str, given: Any, where: str) -> Any:
    """A value of the annotated `kind`; raises `UserError` for any other."""
    if kind.startswith("tuple[") and isinstance(given, list):
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        return tuple(_value(inner, item, f"{where}[{number}]") for number, item in enumerate(given))
    if kind in RECORDS:
        return _record(RECORDS[kind], given, where)
    if kind == "Cell" and isinstance(given, Mapping):
        return _record(Measured, given, where)
    allowed: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "int | None": (int, type(None)),
        "Number": (int, Decimal),
        "Number | None": (int, Decimal, type(None)),
        "Cell": (str, int, Decimal, type(None)),
    }
    if not isinstance(given, allowed.get(kind, ())) or isinstance(given, bool):
        raise UserError(f"{where}: expected {kind}, got {given!r}; see eval/findings/finding.py")
    return given


def _check_table(table: Table, where: str) -> None:
    for number, row in enumerate(table.rows):
        if len(row) != len(table.columns):
            raise UserError(
                f"{where}: expected {len(table.columns)} cells, got {len(row)} in row {number}; one for each column"
            )
