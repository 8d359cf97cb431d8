"""JSON schemas of results, read off their types (JSON Schema, draft 2020-12)."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from eval.scores import Score

NUMBER_OR_NULL = {"type": ["number", "null"]}
INTERVAL = {"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
WORDS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of a result class: the documented keys, their types, which must be there."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": (typing.get_origin(kind) or kind).__name__,
        **_of(kind),
    }


def file_schema(kind: Any) -> dict[str, Any]:
    """The schema of a verb's `results.json`: the keys of its result, and `provenance`."""
    out = schema_of(kind)
    out["properties"] = out["properties"] | {"provenance": {"type": "object"}}
    return out | {"required": [*out["required"], "provenance"]}


def _of(kind: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        members = [_of(member) for member in arguments if member is not type(None)]
        null = [{"type": "null"}] if type(None) in arguments else []
        return {"anyOf": members + null}
    if kind is Score:
        return {"type": "object", "properties": {"value": NUMBER_OR_NULL, "ci": INTERVAL}}
    if dataclasses.is_dataclass(kind):
        return _object(kind)
    if dataclasses.is_dataclass(origin):  # a generic result with its type, `ExperimentResults[CapacityResult]`
        return _object(origin, dict(zip(getattr(origin, "__parameters__", ()), arguments, strict=False)))
    if kind in WORDS:
        return {"type": WORDS[kind]}
    if origin in (tuple, list):
        one = arguments[0] if len(set(arguments) - {Ellipsis}) == 1 else Any
        return {"type": "array", "items": _of(one)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1])}
    if kind is np.ndarray or isinstance(kind, type) and issubclass(getattr(kind, "array_type", type(None)), np.ndarray):
        return {"type": "array"}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    return {}


def _object(kind: Any, variables: Mapping[Any, Any] | None = None) -> dict[str, Any]:
    hints = {name: (variables or {}).get(hint, hint) for name, hint in typing.get_type_hints(kind).items()}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field in dataclasses.fields(kind):
        key, declared = field.metadata.get("key") or field.name, hints[field.name]
        if declared is Score or Score in typing.get_args(declared):
            properties[key] = NUMBER_OR_NULL
            if field.metadata.get("ci", "") is not None:
                properties[field.metadata.get("ci") or f"{key}_ci"] = INTERVAL
            if field.metadata.get("n", "") is not None:
                properties[field.metadata.get("n") or f"{key}_n"] = {"type": "integer"}
            properties[field.metadata.get("reason") or f"{key}_reason"] = {"type": "string"}
        elif field.metadata.get("inline"):
            members = [member for member in typing.get_args(declared) if member is not type(None)]
            inner = _object(members[0] if members else declared)
            properties |= inner["properties"]
            required += [] if members else inner["required"]  # `Result | None`: its keys may be missing
            continue
        else:
            properties[key] = _of(declared)
        if not field.metadata.get("when_set"):
            required.append(key)
    return {"type": "object", "properties": properties, "required": required}
