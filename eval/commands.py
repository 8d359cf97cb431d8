"""A frozen dataclass *is* a command line: one source of names, defaults and help.

`eval.options` declares the fields, `Command` binds a verb to a configuration and a function by name (so that
`--help` imports no torch), and `main` parses, opens the run folder, runs, and turns every failure into one line on
stderr and an exit status (`eval.exit_status`).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import io
import os
import platform
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.config_files import expanded, toml_text
from eval.errors import UserError, nearest
from eval.exit_status import report, termination_is_an_interrupt
from eval.flags import add_options, build, leaves
from eval.options import FolderConfig
from eval.presets import PAPERS, with_preset
from eval.processes import (
    agreed,
    check_device,
    check_environment,
    ensure_home,
    is_main_process,
    process_group,
    refuse_sharing,
    set_threads,
    world_size,
)
from eval.progress import set_verbosity, watch


@dataclass(frozen=True)
class Command:
    """A verb: its configuration class, its function and the type of its `results.json`, as `module:name`.

    shares: whether the processes of a `torchrun` share its work; of a verb that does not, they are refused at once.
    """

    verb: str
    config: str
    run: str
    help: str
    result: str = ""
    shares: bool = False


def load_name(reference: str) -> Any:
    """The object behind `module:name`."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def version_line() -> str:
    """The suite, Python, and the package that computes; nothing is imported for it."""
    names = ("neural-codes", "torch")
    found = [f"{name} {importlib.metadata.version(name)}" for name in names]
    return f"{found[0]}, Python {platform.python_version()}, {found[1]}"


class _Parser(argparse.ArgumentParser):
    """argparse with one-line errors, without the usage dump."""

    def error(self, message: str) -> typing.NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")


def build_parser(package: str, description: str, commands: Sequence[Command], verb: str | None) -> _Parser:
    """The parser of a wing; only the chosen verb's configuration is imported."""
    parser = _Parser(prog=f"python -m {package}", description=description, allow_abbrev=False)
    parser.add_argument("--version", action="store_true", default=argparse.SUPPRESS, help="say the versions and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="verb")
    for command in commands:
        chosen = verb == command.verb
        config = load_name(command.config) if chosen else None
        text = (config.__doc__ or command.help) if config else command.help
        sub = verbs.add_parser(command.verb, help=command.help, description=text, allow_abbrev=False)
        if config is not None:
            add_options(sub, config)
            _add_common(sub)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Flags of every verb, about the command and not about its results."""
    group = parser.add_argument_group("every command")
    group.add_argument("--config", metavar="FILE.toml", help="options from a file (a run writes its own: config.toml)")
    group.add_argument("--set", metavar="KEY=VALUE", action="append", help="one option as in the file; may be repeated")
    group.add_argument("--paper", metavar="KEY", help=f"the sizes of a source, where the verb has: {', '.join(PAPERS)}")
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("-q", dest="quiet", action="store_true", help="say only warnings and errors")
    loudness.add_argument("-v", dest="verbose", action="store_true", help="say more, with the time of day")
    group.add_argument("--debug", action="store_true", help="show the traceback of a failure")


def join_verb(arguments: list[str], known: Sequence[str]) -> list[str]:
    """Join the words of a two-word verb (`sae train`) into the one argument argparse sees."""
    if len(arguments) > 1 and f"{arguments[0]} {arguments[1]}" in known:
        return [f"{arguments[0]} {arguments[1]}", *arguments[2:]]
    return arguments


def run_command(command: Command, config: Any, argv: Sequence[str]) -> str:
    """Open the run folder where the configuration has one, and run the verb; returns its short table."""
    if not command.shares:
        refuse_sharing(command.verb)
    set_threads(getattr(config, "threads", 0))
    for flag, leaf in leaves(type(config), config):
        if leaf.field.metadata.get("kind") == "device":
            check_device(flag, leaf.default)
    if not isinstance(config, FolderConfig):
        return load_name(command.run)(config)
    from eval.runs import Run  # NumPy is not needed for --help

    opened = Run.open if world_size() == 1 else _opened_together
    with (
        process_group(str(getattr(config, "device", "cpu"))),
        opened(config, command=argv, modules=(command.run.partition(":")[0],)) as run,
    ):
        run.write_text("config.toml", toml_text(config, argv))
        return load_name(command.run)(config, run)


def _opened_together(config: FolderConfig, **about: Any) -> Any:
    """The run folder in every process, opened by the main one before another looks into it.

    Raises:
        UserError: it cannot be opened; every process then ends.
    """
    from eval.runs import Run

    run = None
    try:
        run = Run.open(config, **about) if is_main_process() else None
    finally:
        there = agreed(run is not None)
    if not there:
        raise UserError("expected the main process to open the run folder; it could not; see its message")
    return run or Run.open(config, **about)


@dataclass(frozen=True)
class Invocation:
    """A parsed command line: the verb, its configuration, and how much is to be said."""

    command: Command
    config: Any
    quiet: bool
    verbose: bool


def parse(package: str, description: str, commands: Sequence[Command], arguments: list[str]) -> Invocation | None:
    """The command line as a verb and its configuration; `None` where help was asked for by giving nothing.

    Raises:
        UserError: an unknown verb or flag, a value that cannot be.
    """
    known = [command.verb for command in commands]
    verb = next((word for word in arguments if not word.startswith("-")), None)
    if verb in known:
        place = arguments.index(verb) + 1
        config = load_name(commands[known.index(verb)].config)
        given = with_preset(expanded(arguments[place:], config), config, verb)
        arguments = [*arguments[:place], *given]
    parser = build_parser(package, description, commands, verb)
    if not arguments:
        parser.print_help()
        return None
    if "--version" in arguments[:1]:
        _write(f"{version_line()}\n")
        return None
    if verb is not None and verb not in known:
        raise UserError(f"unknown verb {verb!r}: {nearest(verb, known)}")
    values = vars(parser.parse_args(arguments))
    if values.get("verb") is None:
        raise UserError(f"expected a verb; got none; known: {', '.join(known)}")
    command = commands[known.index(values.pop("verb"))]
    quiet, verbose = values.pop("quiet"), values.pop("verbose")
    for name in ("debug", "config", "set", "paper"):
        values.pop(name)
    return Invocation(command, build(load_name(command.config), values), quiet, verbose)


def main(package: str, description: str, commands: Sequence[Command], argv: Sequence[str] | None = None) -> int:
    """Parse, run, and report; returns the exit status (`eval.exit_status` lists them)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    arguments = join_verb(arguments, [command.verb for command in commands])
    folder = None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # LANG=C: a token that cannot be shown is no failure
            stream.reconfigure(errors="backslashreplace")
    try:
        with termination_is_an_interrupt():
            check_environment()
            ensure_home()
            invocation = parse(package, description, commands, arguments)
            if invocation is None:
                return 0
            set_verbosity(quiet=invocation.quiet, verbose=invocation.verbose)
            folder = Path(invocation.config.out) if isinstance(invocation.config, FolderConfig) else None
            watch(invocation.command.verb)
            table = run_command(invocation.command, invocation.config, [f"python -m {package}", *arguments])
            if table and is_main_process():
                _write(table.rstrip("\n") + "\n")
        return 0
    except (Exception, KeyboardInterrupt) as error:
        return report(error, folder, debug="--debug" in arguments)
    finally:
        watch("")


def _write(text: str) -> None:
    """To stdout; a reader that has gone (`| head`) is no failure of the run, whose folder is complete."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
