"""Every flag of every verb of every wing, by its declaration, with values that cannot be: each is refused in one line.

Nothing is run: the command line is parsed and the configuration made, which is where every value is checked, before
torch is imported.
"""

from __future__ import annotations

import ast
import typing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eval import commands
from eval.commands import Command
from eval.config_files import toml_text
from eval.errors import UserError
from eval.flags import Leaf, leaves
from eval.option_values import base_type
from tests.test_layering import import_graph, project_files

WINGS = ("llm_codes", "vision_codes", "toy", "eval")
NOT_NUMBERS = ("nan", "inf", "-inf", "word", "-1e12", "-1000000000000", "")
NOT_WHOLE = ("1.5", "1e400", str(2**64), str(-(2**64)))


def table(wing: str) -> tuple[Command, ...]:
    return commands.load_name(f"{wing}.__main__:COMMANDS")


VERBS = [pytest.param(wing, command, id=f"{wing} {command.verb}") for wing in WINGS for command in table(wing)]


def outside(leaf: Leaf) -> list[str]:
    """The nearest texts outside of the declared range of a number (or of a list of them)."""
    declared, _ = base_type(leaf.annotation)
    item = typing.get_args(declared)[0] if typing.get_origin(declared) is tuple else declared
    if item not in (int, float):
        return []
    limits = leaf.field.metadata["range"]
    near = {"at_least": -1, "above": 0, "at_most": 1, "below": 0}
    return [str(limits[name] + step) for name, step in near.items() if limits[name] is not None]


def impossible(leaf: Leaf) -> list[str]:
    """Texts that can be no value of this option."""
    declared, _ = base_type(leaf.annotation)
    if leaf.field.metadata.get("kind") == "device":
        return ["word", "meta", "cuda:x", "cuda:-1", "cpu:1", "", "nan"]
    if leaf.field.metadata.get("choices"):
        item_choices = typing.get_origin(declared) is tuple
        return ["no-such-choice", *(["no-such-choice,"] if item_choices else [])]
    if declared is int:
        return [*NOT_NUMBERS, *NOT_WHOLE]
    if declared is float:
        return list(NOT_NUMBERS)
    if declared is bool:
        return ["maybe", "2"]
    if typing.get_origin(declared) is tuple:
        item = typing.get_args(declared)[0]
        texts = [",", ""] if not leaf.field.metadata.get("empty") else []
        if not leaf.field.metadata.get("repeats"):
            one = str(leaf.default[0]) if leaf.default else "1"
            texts.append(f"{one},{one}")
        if item in (int, float):
            texts += [text for text in (*NOT_NUMBERS, *(NOT_WHOLE if item is int else ())) if text]
        return texts
    return []


def required_arguments(config: type, but: str) -> list[str]:
    """Every flag (or place) that must be given, with some word; `but` is given by the caller."""
    words = []
    for flag, leaf in leaves(config):
        if leaf.required and flag != but:
            words += ["word"] if leaf.field.metadata.get("positional") else [f"{flag}=word"]
    return words


def verdict(wing: str, command: Command, config: type, flag: str, text: str) -> str | None:
    """What is wrong with how the value is met; `None` where it is refused in one line that names the flag."""
    arguments = [command.verb, f"{flag}={text}", *required_arguments(config, flag)]
    try:
        commands.parse(wing, "", table(wing), arguments)
    except UserError as error:
        line = str(error)
        return None if "\n" not in line and flag.removeprefix("--") in line else f"{flag}={text!r}: said {line!r}"
    except Exception as error:
        return f"{flag}={text!r}: {type(error).__name__}: {error}"
    return f"{flag}={text!r}: accepted"


@pytest.mark.parametrize(("wing", "command"), VERBS)
def test_no_impossible_value_is_accepted(wing: str, command: Command):
    config: Any = commands.load_name(command.config)
    wrong = [
        found
        for flag, leaf in leaves(config)
        if not leaf.field.metadata.get("positional")
        for text in (*impossible(leaf), *outside(leaf))
        if (found := verdict(wing, command, config, flag, text)) is not None
    ]
    assert wrong == []


@pytest.mark.parametrize(("wing", "command"), VERBS)
def test_every_default_is_a_value_that_can_be(wing: str, command: Command):
    """What `--help` shows as the default can be given as the flag's value."""
    config: Any = commands.load_name(command.config)
    for flag, leaf in leaves(config):
        declared, _ = base_type(leaf.annotation)
        if leaf.required or declared is bool or leaf.field.metadata.get("positional") or leaf.default is None:
            continue
        text = ",".join(map(str, leaf.default)) if isinstance(leaf.default, tuple) else str(leaf.default)
        arguments = [command.verb, f"{flag}={text}", *required_arguments(config, flag)]
        assert commands.parse(wing, "", table(wing), arguments) is not None, flag


@pytest.mark.parametrize(("wing", "command"), VERBS)
def test_the_config_file_of_a_run_gives_its_configuration(wing: str, command: Command, tmp_path: Path):
    config: Any = commands.load_name(command.config)
    given = commands.parse(wing, "", table(wing), [command.verb, *required_arguments(config, "")])
    assert given is not None
    (tmp_path / "config.toml").write_text(toml_text(given.config), encoding="utf-8")
    places = ["word" for _, leaf in leaves(config) if leaf.required and leaf.field.metadata.get("positional")]
    arguments = [command.verb, *places, "--config", str(tmp_path / "config.toml")]
    again = commands.parse(wing, "", table(wing), arguments)
    assert again is not None
    assert again.config == given.config


def names_read(module: str) -> set[str]:
    """Attributes, and words (`getattr(config, "name")`), in a verb's module and every module of ours beneath it."""
    found: set[str] = set()
    for name in reached(module):
        for node in ast.walk(ast.parse(project_files()[name].read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@cache
def graph() -> dict[str, set[str]]:
    sources = {name: path.read_text(encoding="utf-8") for name, path in project_files().items()}
    return import_graph(sources)


def reached(module: str) -> set[str]:
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(graph()[name])
    return seen


OF_EVERY_RUN = {"out", "threads", "overwrite", "reuse_stale", "seed"}
"""Read by the commands themselves, or stated in the provenance."""


@pytest.mark.parametrize(("wing", "command"), VERBS)
def test_a_verb_has_no_flag_that_it_does_not_read(wing: str, command: Command):
    config: Any = commands.load_name(command.config)
    read = names_read(command.run.partition(":")[0])
    unread = {leaf.field.name for _, leaf in leaves(config)} - read - OF_EVERY_RUN
    assert unread == set()


@pytest.mark.parametrize(("wing", "command"), VERBS)
def test_every_option_says_what_it_is(wing: str, command: Command):
    config: Any = commands.load_name(command.config)
    silent = [flag for flag, leaf in leaves(config) if not leaf.field.metadata.get("help")]
    assert silent == []
