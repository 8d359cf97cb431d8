"""Levels by token number in a text, in the forms that models write them.

| form | examples |
|---|---|
| lines | ``1: 0``, ``1: We 0``, ``- 1: 0``, ``1) 0``, ``**1**: 0``, ``1: 0/10``, ``| 1 | We | 0 |`` |
| objects | ``{"1": 0}``, ``{"activations": {"1": 0}}``, ``{'1': 0}`` |
| lists | ``[0, 3]`` in order, ``[{"token": 1, "activation": 0}]``, ``[[1, 0]]`` |

Objects and lists may stand in prose or a fenced block and may be cut off: then the valid prefix counts. Values are
keyed by the token's number (1-based), so a skipped, repeated or extra entry never shifts the others. What is no number
is NaN.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.explanation.records import LEVELS

CUT = "truncated or invalid JSON: valid prefix kept"
_LEVEL = r"-?\d+(?:\.\d+)?"
_NUMBER = re.compile(rf"^\s*({_LEVEL})(?:\s*/\s*{LEVELS})?\s*$")
_PAIR = re.compile(r"""["']?(\d+)["']?\s*:\s*(["']?)([^"',}\n]*)(["']?)""")
_LINE = re.compile(
    r"^[\s|]*(?:[-*\u2022]\s+)?(?:token\s*)?[*_`\"'(\[#]*(\d+)[*_`\"')\]]*\s*(?:[:.)\t=|\u2013-]+|\s)(.*)$", re.I
)
_AT_END = re.compile(rf"(?:^|[\s:\t=|*`,>\u2013-])({_LEVEL})(?:\s*/\s*{LEVELS})?[\s*`|.,;]*$")
_NUMBER_KEYS = ("token", "index", "number", "position", "id", "n", "i")
_LEVEL_KEYS = ("activation", "level", "value", "score", "rating", "prediction")


@dataclass(frozen=True)
class Level:
    """One token's level, 0..10 or NaN. start: where it stands in the text."""

    value: float
    start: int = 0


def number_of(value: Any) -> float:
    """A level 0..10 (clipped) from a number or a text like ``3``, ``3/10``; NaN for anything else."""
    match = None if isinstance(value, bool) else _NUMBER.match(str(value))
    return float(min(LEVELS, max(0.0, float(match[1])))) if match else math.nan


def levels_in_lines(text: str) -> dict[int, Level]:
    """Levels from lines that begin with a token's number; the first line with a number for a token counts."""
    found: dict[int, Level] = {}
    start = 0
    for line in text.splitlines(keepends=True):
        match = _LINE.match(line.rstrip("\n"))
        if match and math.isnan(found.get(int(match[1]), Level(math.nan)).value):
            level = _AT_END.search(match[2])
            if level:
                found[int(match[1])] = Level(number_of(level[1]), start + match.start(2) + level.start(1))
            elif len(match[2].split()) == 1:
                found.setdefault(int(match[1]), Level(math.nan, start))
        start += len(line)
    return found


def levels_in_json(text: str) -> tuple[dict[int, float], str | None] | None:
    """(levels by number, what was wrong) from the object or list in a text; ``None`` where there is neither."""
    starts = [place for place in (text.find("{"), text.find("[")) if place >= 0]
    if not starts:
        return None
    body = text[min(starts) :]
    whole = _decoded(body)
    if whole is not None:
        return _of_value(whole), None
    if body.startswith("[") and "{" not in body:
        items = body[1:].split(",")[:-1]  # the last one may be cut
        return {place: number_of(item.strip().strip("\"'")) for place, item in enumerate(items, start=1)}, CUT
    rows = [_decoded(match[0]) for match in re.finditer(r"\{[^{}]*\}", body)]
    if body.startswith("[") and any(rows):
        return _of_value([row for row in rows if row]), CUT
    # an entry counts only when something follows it: "12": 1 may have been going to be 10
    closed = (match for match in _PAIR.finditer(body) if body[match.end() :].lstrip()[:1] in (",", "}", "\n"))
    return {int(match[1]): number_of(match[3]) for match in closed}, CUT


def _decoded(body: str) -> Any:
    """The object or list that a text begins with, in JSON or with single quotes; ``None`` where it is neither."""
    try:
        return json.JSONDecoder().raw_decode(body)[0]
    except ValueError:
        pass
    end = max(body.rfind("}"), body.rfind("]"))
    try:
        found = ast.literal_eval(body[: end + 1])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, (dict, list)) else None


def _of_value(value: Any, depth: int = 0) -> dict[int, float]:
    """Levels by number from a decoded object or list, looked for at most two levels down."""
    if isinstance(value, Mapping):
        numbered = {int(key): item for key, item in value.items() if str(key).strip().isdigit()}
        if numbered:
            return {key: number_of(_level_of(item)) for key, item in numbered.items()}
        inner = [item for item in value.values() if isinstance(item, (Mapping, list))]
        return next((found for item in inner if depth < 2 and (found := _of_value(item, depth + 1))), {})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return dict(_of_item(place, item) for place, item in enumerate(value, start=1))
    return {}


def _of_item(place: int, item: Any) -> tuple[int, float]:
    """(number, level) of one item of a list: its own number where it names one, else its place."""
    if isinstance(item, Mapping):
        named = next((item[key] for key in _NUMBER_KEYS if str(item.get(key, "")).strip().isdigit()), place)
        return int(named), number_of(_level_of(item))
    if isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 2 and str(item[0]).isdigit():
        return int(item[0]), number_of(item[1])
    return place, number_of(item)


def _level_of(item: Any) -> Any:
    if isinstance(item, Mapping):
        return next((item[key] for key in _LEVEL_KEYS if key in item), None)
    return item
