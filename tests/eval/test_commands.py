"""A dataclass is a command line: flags, one-line errors, exit statuses."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from eval import commands
from eval.commands import Command
from eval.errors import UserError
from eval.flags import leaves
from eval.options import RunConfig, option

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class EchoConfig:
    """Say something."""

    text: str = option("hello", "what to say")
    times: int = option(1, "how often")
    sites: tuple[str, ...] = option(("a", "b"), "places")
    loud: bool = option(False, "in capitals")
    limit: float | None = option(None, "at most")
    fail: str = option("", "how to fail", choices=("", "user", "disk", "memory", "interrupt"))


def echo(config: EchoConfig) -> str:
    if config.fail == "user":
        raise UserError("expected a, got b; do c")
    if config.fail == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "out.npz")
    if config.fail == "memory":
        raise MemoryError
    if config.fail == "interrupt":
        raise KeyboardInterrupt
    text = " ".join([config.text] * config.times) + f" {'/'.join(config.sites)} {config.limit}"
    return text.upper() if config.loud else text


@dataclass(frozen=True, kw_only=True)
class FolderConfig(RunConfig):
    """Write a run folder."""


def write(config: FolderConfig, run) -> str:
    run.finish({"done": True})
    return "written"


HERE = "tests.eval.test_commands"
COMMANDS = (
    Command("echo", f"{HERE}:EchoConfig", f"{HERE}:echo", "say something"),
    Command("sae train", f"{HERE}:FolderConfig", f"{HERE}:write", "two words"),
)


def run(*arguments: str) -> int:
    return commands.main("demo", "A demonstration.", COMMANDS, list(arguments))


def test_flags_are_the_fields(capsys):
    assert run("echo", "--text", "hi", "--times", "2", "--sites", "x, y", "--loud", "--limit", "0.5") == 0
    assert capsys.readouterr().out == "HI HI X/Y 0.5\n"


def test_defaults(capsys):
    assert run("echo") == 0
    assert capsys.readouterr().out == "hello a/b None\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["ehco"], "error: unknown verb 'ehco': did you mean echo?"),
        (["echo", "--fail", "user"], "error: expected a, got b; do c"),
        (["echo", "--fail", "disk"], "no space left on the disk while writing out.npz; free some and run the same"),
        (["echo", "--fail", "memory"], "error: out of memory; lower --batch-size"),
        (["echo", "--times", "many"], "expected --times a whole number; got 'many'; give a whole number"),
        (["echo", "--tims", "3"], "unrecognized arguments: --tims 3"),
        (["sae", "train"], "the following arguments are required: --out"),
    ],
)
def test_errors_are_one_line(arguments, text, capsys):
    stopped = arguments[-1] in ("disk", "memory")  # not an input that cannot be, but a stop on the way
    assert run(*arguments) == (3 if stopped else 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert text in captured.err


def test_interrupt_says_how_to_continue(capsys):
    assert run("echo", "--fail", "interrupt") == 130
    assert "interrupted: this verb keeps nothing; run the same command to start again" in capsys.readouterr().err


def test_a_two_word_verb_writes_its_run(tmp_path, capsys):
    assert run("sae", "train", "--out", str(tmp_path / "run")) == 0
    assert capsys.readouterr().out == "written\n"
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize("package", ["llm_codes", "vision_codes", "toy"])
def test_help_is_instant(package):
    """No torch behind `--help`: well under the second or more that importing it takes."""
    started = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", package, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert out.returncode == 0
    assert "usage" in out.stdout
    assert " torch\n" not in out.stderr
    assert time.perf_counter() - started < 30


def test_every_listed_command_exists():
    """Each wing's table names configurations and functions that are really there."""
    for package in ("llm_codes", "vision_codes", "toy"):
        table = commands.load_name(f"{package}.__main__:COMMANDS")
        for command in table:
            assert commands.load_name(command.config).__doc__, command.verb
            assert callable(commands.load_name(command.run)), command.verb


def test_a_verb_without_a_model_or_chance_has_no_such_flag():
    """Toy verbs run on the CPU; a comparison draws nothing."""
    flags = {}
    for package in ("llm_codes", "toy"):
        for command in commands.load_name(f"{package}.__main__:COMMANDS"):
            flags[package, command.verb] = {flag for flag, _ in leaves(commands.load_name(command.config))}
    toy = [found for (package, _), found in flags.items() if package == "toy"]
    assert len(toy) == 7 and all("--seed" in found and "--device" not in found for found in toy)
    assert not flags["llm_codes", "compare"] & {"--seed", "--device"}
    assert {"--seed", "--device"} <= flags["llm_codes", "spectra"]


def test_threads_may_change_after_numba_has_started():
    script = """
import numpy as np
from eval import commands
commands.set_threads(1)
import numba
count = numba.njit(parallel=True)(lambda x: (x + 1).sum())
count(np.ones(10))
commands.set_threads(2)
count(np.ones(10, dtype=np.int64))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version_names_what_computes(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("neural-codes ")


def test_help_of_a_verb_lists_the_flags_of_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        run("echo", "--help")
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "every command:" in out
    assert all(flag in out for flag in ("--config", "--set", "--debug", "-q", "-v"))


def test_flags_without_a_verb_and_loud_and_quiet_at_once_are_one_line(capsys):
    assert run("--debug") == 2
    assert run("echo", "-q", "-v") == 2
    assert "not allowed with argument -q" in capsys.readouterr().err
