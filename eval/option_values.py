"""Values of options: read from a flag's text, made what the declaration says, checked against its range.

Every failure is one line that names the flag, what it expects and what it got; nothing here imports torch or NumPy.
"""

from __future__ import annotations

import math
import types
import typing
from typing import Any

from eval.errors import UserError, nearest

SEED_LIMIT = 2**63 - 1


def flag_of(name: str) -> str:
    """The flag of a field: `--fit-first` for `fit_first`, `--from` for `from_`."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def base_type(annotation: Any) -> tuple[Any, bool]:
    """The type without `| None`, and whether `None` was allowed."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return members[0], True
    return annotation, False


def coerced(value: Any, annotation: Any, kind: str = "") -> Any:
    """A value as declared: one item where several are allowed becomes a list of one, `2` a layer word, `1e5` a whole
    number, a list a tuple."""
    declared, _ = base_type(annotation)
    if kind == "layers" and value is not None and not isinstance(value, str):
        items = [value] if isinstance(value, int) else list(value)
        return ",".join(map(str, items))
    if typing.get_origin(declared) is tuple and value is not None:
        item = typing.get_args(declared)[0]
        items = value.split(",") if isinstance(value, str) else ([value] if not several(value) else list(value))
        stripped = (one.strip() if isinstance(one, str) else one for one in items)
        return tuple(_scalar(one, item) for one in stripped if one != "")
    return _scalar(value, declared)


def several(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, range)) or hasattr(value, "tolist")


def _scalar(value: Any, declared: Any) -> Any:
    if declared is int and isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if declared is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def parse(text: str, annotation: Any, flag: str) -> Any:
    """The value that a flag's text means, still unchecked.

    Raises `UserError` where the text is no such value.
    """
    declared, optional = base_type(annotation)
    if optional and text.lower() == "none":
        return None
    if typing.get_origin(declared) is tuple:
        item = typing.get_args(declared)[0]
        return tuple(parse(part.strip(), item, flag) for part in text.split(",") if part.strip())
    if declared not in (int, float):
        return text
    try:
        return int(text, 10) if declared is int else float(text)
    except ValueError:
        whole = _whole(text) if declared is int else None
        if whole is not None:
            return whole
    words = "a whole number" if declared is int else "a number"
    raise UserError(f"expected {flag} {words}; got {text!r}; give {words}")


def _whole(text: str) -> int | None:
    """`1e5` as 100000; `None` where the text is no whole number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and value.is_integer() and abs(value) < 2**53 else None


def check_value(flag: str, value: Any, annotation: Any, metadata: Any) -> None:
    """Raise a `UserError` that names flag, range and value where the value cannot be."""
    declared, optional = base_type(annotation)
    if value is None:
        if not optional:
            raise UserError(f"expected a value for {flag}; got None; give one")
        return
    if typing.get_origin(declared) is tuple:
        if not value and not metadata.get("empty"):
            raise UserError(f"expected at least one value for {flag}; got an empty list; give one")
        twice = [item for item in dict.fromkeys(value) if list(value).count(item) > 1]
        if twice and not metadata.get("repeats"):
            raise UserError(f"expected each value of {flag} once; got {twice[0]!r} twice; leave one out")
        for item in value:
            _check_one(flag, item, typing.get_args(declared)[0], metadata)
    else:
        _check_one(flag, value, declared, metadata)


def _check_one(flag: str, value: Any, declared: Any, metadata: Any) -> None:
    choices, limits = metadata.get("choices"), metadata.get("range", {})
    if choices and value not in choices:
        raise UserError(
            f"unknown {flag} {value!r}: {nearest(str(value), choices)}; expected one of {', '.join(choices)}"
        )
    if metadata.get("kind") == "device":
        _check_device_word(flag, value)
    if declared not in (int, float):
        if declared in (str, bool) and not isinstance(value, declared):
            raise UserError(f"expected {flag} {'yes or no' if declared is bool else 'a word'}; got {value!r}; mend it")
        return
    words = describe_range("a whole number" if declared is int else "a number", limits)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (declared is float and isinstance(value, float) and math.isfinite(value))):
        raise UserError(f"expected {flag} {words}; got {value!r}; give a value in that range")
    if whole and abs(value) > SEED_LIMIT:
        raise UserError(f"expected {flag} {words}; got {value}, beyond 2^63; give a value in that range")
    low, high = limits.get("at_least"), limits.get("at_most")
    over, under = limits.get("above"), limits.get("below")
    inside = (low is None or value >= low) and (high is None or value <= high)
    if not (inside and (over is None or value > over) and (under is None or value < under)):
        raise UserError(f"expected {flag} {words}; got {value}; give a value in that range")


def describe_range(words: str, limits: Any) -> str:
    """`a whole number of at least 2 and at most 9`, in words."""
    names = {"at_least": "of at least", "above": "above", "at_most": "at most", "below": "below"}
    parts = [f"{names[name]} {limits[name]:g}" for name in names if limits.get(name) is not None]
    if limits.get("at_most") == SEED_LIMIT:
        parts = ["of at least 0 and at most 2^63 - 1"]
    return " ".join([words, " and ".join(parts)]).strip()


def _check_device_word(flag: str, value: Any) -> None:
    name, _, number = str(value).partition(":")
    if name not in ("cpu", "cuda", "mps") or (number and not (number.isdigit() and name == "cuda")):
        raise UserError(f"expected {flag} cpu, cuda, cuda:N or mps; got {value!r}; name one of them")
