"""The schemas of the results files, as package data: `eval/schemas/<wing>-<verb>.json`.

    python -m tests.schemas     (`make schemas`) writes them anew from the types that the verbs declare

A verb declares the type of its `results.json` in its `Command`; tests compare the files with the types, and every
`results.json` that a test writes is checked against its schema (`tests/conftest.py`).
"""

from __future__ import annotations

import importlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from eval.commands import Command, load_name
from eval.result_schemas import file_schema

FOLDER = Path(__file__).resolve().parent.parent / "eval" / "schemas"
WINGS = ("llm_codes", "vision_codes", "toy")


def commands(wing: str) -> list[Command]:
    """The verbs of a wing whose results file has a type."""
    return [command for command in importlib.import_module(f"{wing}.__main__").COMMANDS if command.result]


def schema_path(wing: str, verb: str) -> Path:
    """Where the schema of a verb's results file stands."""
    return FOLDER / f"{wing}-{verb.replace(' ', '-')}.json"


def schema_text(command: Command) -> str:
    """The schema of a verb's results file, as it is kept."""
    return json.dumps(file_schema(load_name(command.result)), indent=1, ensure_ascii=False) + "\n"


@cache
def validator(path: Path) -> Any:
    """The validator of a schema, `None` where the verb has none."""
    if not path.exists():
        return None
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def mismatches(wing: str, verb: str, results: Any) -> list[str]:
    """Where a results file differs from its schema: place and reason, at most five."""
    check = validator(schema_path(wing, verb))
    errors = [] if check is None else list(check.iter_errors(results))
    errors.sort(key=lambda error: [str(part) for part in error.absolute_path])
    return [f"{'/'.join(map(str, error.absolute_path)) or 'top'}: {error.message[:200]}" for error in errors[:5]]


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    wanted = {schema_path(wing, command.verb): command for wing in WINGS for command in commands(wing)}
    for path in set(FOLDER.glob("*.json")) - set(wanted):
        path.unlink()
    for path, command in wanted.items():
        path.write_text(schema_text(command), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
