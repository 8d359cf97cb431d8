"""Typed results as JSON and back: derived from the fields, so that no room writes a converter by hand.

| field of a result | in JSON |
|---|---|
| `Score` | `name`, `name_ci`, `name_n` and, where something is undefined, `name_reason` |
| another result | an object; its keys beside the others where declared `inline` |
| a tuple of results | a list of objects |
| a mapping | an object |
| an array | a list |
| anything else | as it is |
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from eval.scores import Score


def measured(
    default: Any = dataclasses.MISSING,
    *,
    key: str = "",
    ci: str | None = "",
    reason: str = "",
    n: str | None = "",
    when_set: bool = False,
) -> Any:
    """A `Score` field whose JSON keys are not the derived ones.

    key, ci, reason: of value, interval and reason (default: the field's name, `<name>_ci`, `<name>_reason`).
    n: of the sample size; `None` leaves it out, and `ci=None` the interval. when_set: all left out where `None`.
    """
    metadata = {"key": key, "ci": ci, "reason": reason, "n": n, "score": True, "when_set": when_set}
    return dataclasses.field(default=default, metadata=metadata)


def noted(default: Any = dataclasses.MISSING, *, key: str = "", inline: bool = False, when_set: bool = False) -> Any:
    """A field whose JSON differs from its name.

    key: its key; inline: the keys of the result it holds stand beside the others; when_set: left out where `None`.
    """
    return dataclasses.field(default=default, metadata={"key": key, "inline": inline, "when_set": when_set})


def to_json(value: Any) -> Any:
    """A result, or anything a result holds, as plain JSON values (arrays become lists)."""
    if isinstance(value, Score):
        return {"value": value.value, "ci": value.interval, "n": value.n, "reason": value.reason}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _object(value: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        key = field.metadata.get("key") or field.name
        if item is None and field.metadata.get("when_set"):
            continue
        if isinstance(item, Score):
            out |= _score(item, key, field.metadata)
        elif field.metadata.get("inline"):
            out |= to_json(item) if item is not None else {}
        else:
            out[key] = to_json(item)
    return out


def _score(score: Score, key: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {key: score.value}
    if metadata.get("ci", "") is not None:
        out[metadata.get("ci") or f"{key}_ci"] = score.interval
    if score.n is not None and metadata.get("n", "") is not None:
        out[metadata.get("n") or f"{key}_n"] = score.n
    if score.reason or score.interval_reason:
        out[metadata.get("reason") or f"{key}_reason"] = score.reason or score.interval_reason
    return out


def from_json(kind: Any, data: Any) -> Any:
    """The value of type `kind` that `to_json` wrote.

    Raises `ValueError` where a key that the type needs is missing.
    """
    declared, _ = _plain(kind)
    if data is None:
        return None
    if declared is Score:
        return _score_of(data["value"], data["ci"], data["n"], data["reason"])
    if dataclasses.is_dataclass(declared):
        return _from_object(declared, data)
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(from_json(arguments[0], item) for item in data)
    if origin is tuple:
        return tuple(from_json(part, item) for part, item in zip(arguments, data, strict=True))
    if origin is list:
        return [from_json(arguments[0], item) for item in data]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {_key(arguments[0], key): from_json(arguments[1], item) for key, item in data.items()}
    if declared is np.ndarray or origin is np.ndarray:
        return np.asarray(data)
    return data


def _plain(kind: Any) -> tuple[Any, bool]:
    """The type without `| None`; jaxtyping's array annotations are arrays."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        return (members[0], True) if len(members) == 1 else (Any, True)
    if isinstance(kind, type) and issubclass(getattr(kind, "array_type", type(None)), np.ndarray):
        return np.ndarray, False
    return kind, False


def _key(kind: Any, key: str) -> Any:
    return int(key) if kind is int else key


_hints = lru_cache(maxsize=None)(typing.get_type_hints)  # a run reads thousands of objects of a few classes


def _from_object(kind: Any, data: Mapping[str, Any]) -> Any:
    hints, arguments = _hints(kind), {}
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        key = field.metadata.get("key") or field.name
        declared, _ = _plain(hints[field.name])
        if declared is Score:
            if key not in data and field.metadata.get("when_set"):
                arguments[field.name] = None
                continue
            n = field.metadata.get("n", "")
            ci, reason = field.metadata.get("ci", ""), field.metadata.get("reason") or f"{key}_reason"
            size = None if n is None else data.get(n or f"{key}_n")
            interval = None if ci is None else data.get(ci or f"{key}_ci")
            arguments[field.name] = _score_of(data[key], interval, size, data.get(reason))
        elif field.metadata.get("inline"):
            arguments[field.name] = _from_object(declared, data)
        elif key in data:
            arguments[field.name] = from_json(hints[field.name], data[key])
        elif not field.metadata.get("when_set") and field.default is dataclasses.MISSING:
            raise ValueError(f"expected the key {key!r} of {kind.__name__}; got {', '.join(sorted(data)) or 'none'}")
    return kind(**arguments)


def _score_of(value: float | None, ci: Any, n: int | None, reason: str | None) -> Score:
    if value is None:
        return Score.undefined(reason or "undefined", n)
    low, high = ci or (None, None)
    return Score(value, low, high, n, interval_reason=reason)
