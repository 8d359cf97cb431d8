"""Is a printed command one that today's suite takes? Options are parsed as they would be, and nothing is run."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from eval.commands import join_verb, load_name, parse

ROOT = Path(__file__).resolve().parents[1]
WINGS = ("eval", "llm_codes", "vision_codes", "toy")
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def check_command(words: Sequence[str]) -> None:
    """Raises where a flag, a value, a module, a file or a target is not there.

    words: a command line from its program on: `python -m MODULE ...`, `python FILE ...`, `make TARGET`.
    """
    program, *rest = words
    if program == "make":
        assert rest[0] in TARGETS, f"no target {rest[0]!r} in the Makefile"
        return
    assert program == "python", f"expected python or make, got {program!r}"
    if rest[0] != "-m":
        assert (ROOT / rest[0]).is_file(), f"no file {rest[0]}"
        return
    module, arguments = rest[1], rest[2:]
    if module not in WINGS:
        assert importlib.util.find_spec(module), f"no module {module}"
        missing = [
            word for word in arguments if word.startswith("tests/") and not (ROOT / word.split("::")[0]).exists()
        ]
        assert not missing, f"no file {missing}"
        return
    commands = load_name(f"{module}.__main__:COMMANDS")
    parse(module, "", commands, join_verb(list(arguments), [command.verb for command in commands]))
