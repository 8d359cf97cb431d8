"""A frozen dataclass *is* a command line: one source of names, defaults and help.

`eval.options` declares the fields, `Command` binds a verb to a configuration and a function by name (so that
`--help` imports no torch), and `main` parses, opens the run folder, runs, and turns every foreseeable failure into one
line on stderr and a non-zero exit status.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.errors import UserError, nearest
from eval.flags import add_options, build
from eval.options import RunConfig
from eval.processes import is_main_process, set_threads
from eval.progress import say

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """A verb: its configuration class and its function, both as `module:name`."""

    verb: str
    config: str
    run: str
    help: str


def load_name(reference: str) -> Any:
    """The object behind `module:name`."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


class _Parser(argparse.ArgumentParser):
    """argparse with one-line errors, without the usage dump."""

    def error(self, message: str) -> typing.NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")


def build_parser(package: str, description: str, commands: Sequence[Command], verb: str | None) -> _Parser:
    """The parser of a wing; only the chosen verb's configuration is imported."""
    parser = _Parser(prog=f"python -m {package}", description=description, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", metavar="verb")
    for command in commands:
        chosen = verb == command.verb
        config = load_name(command.config) if chosen else None
        text = (config.__doc__ or command.help) if config else command.help
        sub = verbs.add_parser(command.verb, help=command.help, description=text, allow_abbrev=False)
        if config is not None:
            add_options(sub, config)
    return parser


def join_verb(arguments: list[str], known: Sequence[str]) -> list[str]:
    """Join the words of a two-word verb (`sae train`) into the one argument argparse sees."""
    if len(arguments) > 1 and f"{arguments[0]} {arguments[1]}" in known:
        return [f"{arguments[0]} {arguments[1]}", *arguments[2:]]
    return arguments


def run_command(command: Command, config: Any, argv: Sequence[str]) -> str:
    """Open the run folder where the configuration has one, and run the verb; returns its short table."""
    set_threads(getattr(config, "threads", 0))
    if not isinstance(config, RunConfig):
        return load_name(command.run)(config)
    from eval.runs import Run  # NumPy is not needed for --help

    with Run.open(config, command=argv) as run:
        return load_name(command.run)(config, run)


def main(package: str, description: str, commands: Sequence[Command], argv: Sequence[str] | None = None) -> int:
    """Parse, run, and report: 0 on success, 2 with one line for what the user can mend, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    known = [command.verb for command in commands]
    arguments = join_verb(arguments, known)
    verb = next((word for word in arguments if not word.startswith("-")), None)
    try:
        parser = build_parser(package, description, commands, verb)
        if verb is None:
            if not arguments:
                parser.print_help()
                return 0
        elif verb not in known:
            raise UserError(f"unknown verb {verb!r}: {nearest(verb, known)}")
        values = vars(parser.parse_args(arguments))
        command = commands[known.index(values.pop("verb"))]
        config = build(load_name(command.config), values)
        table = run_command(command, config, [f"python -m {package}", *arguments])
        if table and is_main_process():
            sys.stdout.write(table.rstrip("\n") + "\n")
        return 0
    except UserError as error:
        say(f"error: {error}")
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        say("interrupted: what was computed is kept; run the same command to continue")
        return EXIT_INTERRUPTED
    except (OSError, MemoryError) as error:
        if os.environ.get("NEURAL_CODES_TRACEBACK"):
            raise
        say(f"error: {_system_error(error)}")
        return EXIT_USER_ERROR


def _system_error(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "out of memory; lower --batch-size or --tokens, or raise --max-memory-gb only if the machine has it"
    if error.errno == errno.ENOSPC:
        where = error.filename or "the output folder"
        return f"no space left on the disk while writing {where}; free some and run the same command to continue"
    return f"{error.strerror or error}: {error.filename or ''} (set NEURAL_CODES_TRACEBACK=1 for the traceback)"
