"""Prompts are text files: sections that start with ``=== role`` on a line of its own, in the order they are sent."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from eval.errors import UserError, nearest

Message = dict[str, str]
ROLES = ("system", "user", "assistant")
FOLDER = Path(__file__).parent


@cache
def _parse(name: str) -> tuple[tuple[str, str], ...]:
    path = FOLDER / f"{name}.txt"
    if not path.is_file():
        raise UserError(f"unknown prompt {name!r}: {nearest(name, [found.stem for found in FOLDER.glob('*.txt')])}")
    messages: list[tuple[str, str]] = []
    for block in ("\n" + path.read_text(encoding="utf-8")).split("\n=== ")[1:]:
        role, _, content = block.partition("\n")
        if role.strip() not in ROLES:
            raise UserError(f"prompt {name!r}: expected a role of {ROLES}, got {role.strip()!r}; mend {path.name}")
        messages.append((role.strip(), content.strip("\n")))
    return tuple(messages)


def load_prompt(name: str) -> list[Message]:
    """The messages of ``prompts/<name>.txt``: a system text and our own few-shot examples.

    Raises ``UserError`` for an unknown name or role.
    """
    return [{"role": role, "content": content} for role, content in _parse(name)]
