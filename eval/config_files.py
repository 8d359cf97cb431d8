"""Long command lines as files: `--config run.toml`, `--set key=value`, and the `config.toml` that every run writes.

Keys are the names of the flags (`fit_first = 10`, or `fit-first`); lists are lists or comma-separated words; tables
only group. What a file says is what the flags would say: it is read by the same parser and checked by the same ranges.
Flags on the command line win over `--set`, which wins over the file.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.errors import UserError, nearest
from eval.flags import Leaf, leaves
from eval.option_values import base_type


def expanded(arguments: Sequence[str], config: type) -> list[str]:
    """The arguments of a verb with `--config` and `--set` replaced by the flags they stand for, before all others.

    Raises:
        UserError: a file that cannot be read or is no TOML, a key that is no option, a `--set` without `=`.
    """
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    reader.add_argument("--config", action="append", default=[])
    reader.add_argument("--set", action="append", default=[])
    found, rest = reader.parse_known_args(list(arguments))
    known = {
        flag.removeprefix("--"): leaf for flag, leaf in leaves(config) if not leaf.field.metadata.get("positional")
    }
    given = [pair for path in found.config for pair in _flat(read_toml(path))]
    for text in found.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"expected --set key=value; got {text!r}; write the key, =, and the value")
        given.append((key.strip(), value.strip()))
    return [*(_as_flag(key, value, known) for key, value in given), *rest]


def read_toml(path: str) -> dict[str, Any]:
    """Raises UserError where the file is not there or is no TOML."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"expected a TOML file for --config; got {path} ({error.strerror}); name one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"expected TOML in {path}; got {error}; mend the file") from error


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield key, value


def _as_flag(key: str, value: Any, known: Mapping[str, Leaf]) -> str:
    name = key.rstrip("_").replace("_", "-")
    if name not in known:
        raise UserError(f"unknown option {key!r} in --config or --set: {nearest(name, known)}")
    if base_type(known[name].annotation)[0] is bool:
        truth = {"true": True, "yes": True, "false": False, "no": False}.get(str(value).lower())
        if truth is None:
            raise UserError(f"expected {key} to be true or false; got {value!r}; write one of them")
        return f"--{name}" if truth else f"--no-{name}"
    words = value if isinstance(value, list) else [value]
    return f"--{name}={','.join(map(str, words))}"


def toml_text(config: Any, command: Sequence[str] = ()) -> str:
    """A configuration as TOML: one key for each flag, grouped as `--help` groups them."""
    lines, group = [f"# {' '.join(command)}"] if command else [], ""
    for flag, leaf in leaves(type(config), config):
        if leaf.group != group:
            group = leaf.group
            lines.append(f"\n# {group}")
        key = flag.removeprefix("--").replace("-", "_")
        comment = "# by place: " if leaf.field.metadata.get("positional") else ""
        lines.append(f"{comment}{key} = {_toml_value(leaf.default)}")
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=True)
