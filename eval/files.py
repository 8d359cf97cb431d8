"""Files that can be trusted: written whole or not at all, and sealed, so that a later reader sees every changed byte.

A seal is a small JSON file beside what it seals (`moments.npz` and `moments.npz.seal`): the SHA-256 of the content, and
where the content came from. What does not match its seal is damaged; it is set aside as `moments.npz.damaged`, never
read as data and never deleted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from eval.progress import say

SEAL_SUFFIX = ".seal"
HALF_WRITTEN = re.compile(r"\..+\.\d+\.tmp(\.\w+)?")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def half_written(folder: Path) -> list[Path]:
    """Temporary files of `atomic_path` anywhere below `folder`: what a killed process was writing."""
    return [path for path in folder.rglob(".*.tmp*") if HALF_WRITTEN.fullmatch(path.name) and path.is_file()]


_PLAIN = frozenset({str, int, float, bool, type(None)})


def json_ready(value: Any) -> Any:
    """Plain JSON types; a non-finite number is an error here, because an undefined result needs a reason."""
    kind = type(value)
    if kind in _PLAIN:  # what almost every leaf is
        return value
    if kind is list:
        return [item if type(item) in _PLAIN else json_ready(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_ready(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return json_ready(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_ready(item) for item in value]
    if isinstance(value, np.generic):
        return json_ready(value.item())
    if isinstance(value, Path):
        return str(value)
    to_list = getattr(value, "tolist", None)  # a torch tensor, without importing torch
    if to_list is not None and not isinstance(value, (str, bytes, type)):
        return json_ready(to_list())
    return value


def json_text(value: Any, *, indent: int | None = 1) -> str:
    """Strict JSON: refuses NaN and infinity by name. indent: `None` puts all on one line, five times as fast."""
    try:
        return json.dumps(json_ready(value), indent=indent, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError as error:
        raise ValueError(f"a result holds NaN or infinity: use null and a reason beside it ({error})") from error


def content_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal; read in blocks, so that a large file takes no memory."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def seal_path(path: Path) -> Path:
    """Where the seal of `path` lies."""
    return path.with_name(path.name + SEAL_SUFFIX)


def seal(path: Path, **origin: Any) -> None:
    """Write the seal of a finished file: its content hash, and what the caller says of its origin."""
    _write_seal(path, {"sha256": content_hash(path), **origin})


def _write_seal(path: Path, words: Mapping[str, Any]) -> None:
    write_text(seal_path(path), json_text(words))


def read_seal(path: Path) -> dict[str, Any] | None:
    """The seal of `path`; `None` where there is none, or none that can be read."""
    try:
        found = json.loads(seal_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("sha256"), str) else None


def is_intact(path: Path) -> bool:
    """Whether `path` is, byte for byte, what its seal was written for (false without a readable seal)."""
    found = read_seal(path)
    return found is not None and path.is_file() and content_hash(path) in (found["sha256"], found.get("before"))


@contextmanager
def sealed_path(path: Path, **origin: Any) -> Iterator[Path]:
    """`atomic_path`, and a seal beside the file when the block ends well.

    The seal is written first and is good for the file before it too: a kill between the two loses neither.
    """
    before = (read_seal(path) or {}).get("sha256")
    with atomic_path(path) as temporary:
        yield temporary
        _write_seal(path, {"sha256": content_hash(temporary), "before": before, **origin})


def is_readable(path: Path) -> bool:
    """Whether a sealed checkpoint is there and whole; one that is not is named and set aside as `*.damaged`."""
    if not path.exists():
        return False
    if is_intact(path):
        return True
    say(f"warning: {path} is damaged, or has no seal: set aside as {set_aside(path, '.damaged').name}, not continued")
    return False


def remove(path: Path) -> None:
    """Remove a file and its seal."""
    path.unlink(missing_ok=True)
    seal_path(path).unlink(missing_ok=True)


def set_aside(path: Path, suffix: str) -> Path:
    """Rename `path` (with its seal) to `<path><suffix>`, in the place of an older one of that name; the new path."""
    target = path.with_name(path.name + suffix)
    path.replace(target)
    if seal_path(path).exists():
        seal_path(path).replace(seal_path(target))
    return target
