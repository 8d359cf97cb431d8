"""A configuration as flags: every option of it, nested ones included, on one argparse parser; and back again."""

from __future__ import annotations

import argparse
import dataclasses
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.errors import UserError
from eval.option_values import base_type, flag_of, parse
from eval.progress import say


@dataclass(frozen=True)
class Leaf:
    """One option of a command: where it stands in the configuration, how it is declared, its default here."""

    path: tuple[str, ...]
    field: dataclasses.Field[Any]
    annotation: Any
    default: Any
    group: str
    prefix: str = ""

    @property
    def destination(self) -> str:
        """The path with dots, as `build` reads it."""
        return ".".join(self.path)

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING


def leaves(
    config: type, default: Any = None, path: tuple[str, ...] = (), prefix: str = ""
) -> Iterator[tuple[str, Leaf]]:
    """Every option of a configuration class with its flag, nested ones included, in order of declaration."""
    hints = typing.get_type_hints(config)
    group = (config.__doc__ or config.__name__).strip().splitlines()[0] if path else ""
    for field in dataclasses.fields(config):
        value = field.default if default is None else getattr(default, field.name)
        where = (*path, field.name)
        if field.metadata.get("nested"):
            yield from leaves(type(value), value, where, prefix + field.metadata.get("prefix", ""))
        else:
            yield flag_of(prefix + field.name), Leaf(where, field, hints[field.name], value, group, prefix)


def build(config: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """The configuration whose options have these values (by dotted path); the others keep their defaults."""
    changes = {name: value for name, value in values.items() if "." not in name}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        if field.metadata.get("nested"):
            prefix = field.metadata.get("prefix", "")
            changes[field.name] = _replaced(field.default, _below(values, field.name), prefix)
    return config(**changes)


def _replaced(default: Any, values: Mapping[str, Any], prefix: str) -> Any:
    changes = {name: value for name, value in values.items() if "." not in name}
    for field in dataclasses.fields(default):
        inner = _below(values, field.name)
        if field.metadata.get("nested") and inner:
            deeper = prefix + field.metadata.get("prefix", "")
            changes[field.name] = _replaced(getattr(default, field.name), inner, deeper)
    try:
        return dataclasses.replace(default, **changes)
    except UserError as error:
        raise UserError(
            _with_prefix(str(error), [field.name for field in dataclasses.fields(default)], prefix)
        ) from error


def _with_prefix(text: str, names: Sequence[str], prefix: str) -> str:
    """An options class speaks of its flags by their own names; on this command line they have a prefix."""
    flags = {flag_of(name): flag_of(prefix + name) for name in names}
    return re.sub(r"--[a-z0-9]+(?:-[a-z0-9]+)*", lambda found: flags.get(found[0], found[0]), text)


def flat_values(config: Any, *, identity_only: bool = False) -> dict[str, Any]:
    """The values of a configuration by the names of their flags (`fit_first`), nested classes flattened.

    identity_only: only the options that decide the results.
    """
    out = {}
    for flag, leaf in leaves(type(config), config):
        if not identity_only or leaf.field.metadata.get("identity", True):
            out[flag.removeprefix("--").replace("-", "_")] = leaf.default
    return out


def _below(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The values under a nested field, by the rest of their path."""
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}


def add_options(parser: argparse.ArgumentParser, config: type) -> None:
    """One flag per option, in kebab-case, grouped by options class; lists are comma-separated; booleans get `--no-`.

    Raises `ValueError` where two options of one command have one flag: a fault of ours, met at the first `--help`.
    """
    groups: dict[str, Any] = {}
    taken: set[str] = set()
    for flag, leaf in leaves(config):
        if flag in taken:
            raise ValueError(f"{config.__name__} has two options {flag}; give one of the nested classes a prefix")
        taken.add(flag)
        if leaf.group and leaf.group not in groups:
            groups[leaf.group] = parser.add_argument_group(leaf.group)
        _add(groups.get(leaf.group, parser), flag, leaf)


def _add(parser: Any, flag: str, leaf: Leaf) -> None:
    kind, _ = base_type(leaf.annotation)
    metadata = leaf.field.metadata
    words = metadata.get("help", "")
    if metadata.get("choices") and "," not in words:
        words += f": {', '.join(choice or 'none' for choice in metadata['choices'])}"
    if metadata.get("positional"):
        _add_positional(parser, leaf, _plain(words))
        return
    shown = "" if leaf.required or leaf.default in ((), None, "") else f" (default: {_show(leaf.default)})"
    arguments: dict[str, Any] = {"dest": leaf.destination, "help": _plain(words + shown)}
    arguments |= {"required": True} if leaf.required else {"default": argparse.SUPPRESS}
    if kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **arguments)
        return
    metavar = leaf.field.name.rstrip("_").upper()
    parser.add_argument(flag, type=_reader(leaf, flag), metavar=metavar, **arguments)
    for old in (flag_of(leaf.prefix + name) for name in metadata.get("formerly", ())):
        hidden = arguments | {"help": argparse.SUPPRESS, "required": False, "default": argparse.SUPPRESS}
        parser.add_argument(old, type=_renamed(leaf, old, flag), metavar=metavar, **hidden)


def _add_positional(parser: Any, leaf: Leaf, words: str) -> None:
    """An option given by place; where several are allowed, one word each: a path may hold a comma."""
    name = leaf.field.name
    several = typing.get_origin(base_type(leaf.annotation)[0]) is tuple
    counts: dict[str, Any] = {"nargs": "+"} if several else {}
    if not leaf.required:
        counts = {"nargs": "*" if several else "?", "default": leaf.default}
    reader = str if several else _reader(leaf, name)
    parser.add_argument(leaf.destination, type=reader, metavar=name.upper(), help=words, **counts)


def _reader(leaf: Leaf, flag: str) -> Callable[[str], Any]:
    return lambda text: parse(text, leaf.annotation, flag)


def _renamed(leaf: Leaf, old: str, flag: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        say(f"{old} is called {flag} now; the old name works in this version")
        return parse(text, leaf.annotation, old)

    return read


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _show(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
