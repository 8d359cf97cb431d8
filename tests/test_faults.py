"""Faults that a run meets in its life: damage, edited code, lost folders, signals; named in one line, never exit 0.

The first test copies the project and edits it, as `git pull` would; the others use a verb of three small items.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval import commands
from eval.commands import Command
from eval.errors import IncompleteError, StoppedError
from eval.options import RunConfig, option
from eval.runs import Run

ROOT = Path(__file__).resolve().parent.parent
TINY = ("--trials", "50", "--layers", "2", "--width", "8", "--message", "4", "--bits", "1,2", "--dropouts", "0.1,0.5")


@dataclass(frozen=True, kw_only=True)
class ThreeConfig(RunConfig):
    """Three items and an array."""

    size: int = option(10, "size", at_least=1)


HOOKS: dict[str, Callable[[Run], Any]] = {}
"""What happens after an item, by its name (a test's fault)."""
COMPUTED: list[str] = []


def three(config: ThreeConfig, run: Run) -> str:
    run.inputs(images=HOOKS["images"](run) if "images" in HOOKS else "a" * 64)
    for name in ("one", "two", "three"):

        def compute(name: str = name) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
            COMPUTED.append(name)
            return {"name": name, "size": config.size}, {"values": np.arange(config.size)}

        run.item_with_arrays(name, compute)
        HOOKS.get(name, lambda run: None)(run)
    run.finish({"done": True})
    return "done"


HERE = "tests.test_faults"
COMMANDS = (Command("three", f"{HERE}:ThreeConfig", f"{HERE}:three", "three"),)


@pytest.fixture(autouse=True)
def fresh():
    HOOKS.clear()
    COMPUTED.clear()


def run(folder: Path, *more: str) -> int:
    return commands.main("demo", "Demo.", COMMANDS, ["three", "--out", str(folder), *more])


def results_without_provenance(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {key: value for key, value in results.items() if key != "provenance"}


def test_edited_code_makes_items_stale_and_words_do_not(tmp_path):
    """`compression_rate` is made to return 0: the same command says so and prints the new number."""
    for package in ("eval", "toy"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HOME")}
    environment |= {"LANG": "C", "PYTHONIOENCODING": "ascii", "PYTHONDONTWRITEBYTECODE": "1"}

    def capacity() -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "toy", "capacity", "--out", "runs/a", *TINY]
        done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    first = capacity()
    module = tmp_path / "eval" / "measures" / "information" / "capacity.py"
    source = module.read_text(encoding="utf-8")
    start = source.index("def compression_rate(")
    ends = source.index('"""', source.index('"""', start) + 3) + 3
    module.write_text(source[: ends - 3] + "More words." + source[ends - 3 :], encoding="utf-8")
    again = capacity()
    assert again.stdout == first.stdout
    assert "stale" not in again.stderr
    module.write_text(source[:ends] + "\n    return 0.0" + source[ends:], encoding="utf-8")
    edited = capacity()
    assert "items/capacity.json is stale: other code of" in edited.stderr
    assert edited.stdout != first.stdout


@pytest.mark.parametrize("damage", [b"", b"null", b'{"name": "tw'])
def test_a_damaged_item_is_computed_again_and_nothing_else_is(tmp_path, capsys, damage):
    assert run(tmp_path / "a") == 0
    whole = results_without_provenance(tmp_path / "a")
    (tmp_path / "a" / "items" / "two.json").write_bytes(damage)
    COMPUTED.clear()
    assert run(tmp_path / "a") == 0
    assert COMPUTED == ["two"]
    assert "items/two.json is damaged: set aside as two.json.damaged, computed again" in capsys.readouterr().err
    assert results_without_provenance(tmp_path / "a") == whole


def test_one_flipped_byte_of_an_array_is_seen(tmp_path, capsys):
    assert run(tmp_path / "a") == 0
    path = tmp_path / "a" / "arrays" / "two.npz"
    content = bytearray(path.read_bytes())
    place = content.index(np.arange(10).tobytes()) + 8
    content[place] ^= 1
    path.write_bytes(bytes(content))
    COMPUTED.clear()
    assert run(tmp_path / "a") == 0
    assert COMPUTED == ["two"]
    assert "arrays/two.npz is damaged" in capsys.readouterr().err
    arrays = Run(tmp_path / "a").read_arrays("two")
    assert arrays is not None and arrays["values"].tolist() == list(range(10))


def test_replaced_images_are_seen(tmp_path, capsys):
    assert run(tmp_path / "a") == 0
    HOOKS["images"] = lambda run: "b" * 64
    assert run(tmp_path / "a", "--reuse-stale") == 0
    assert (
        "stale: other images (aaaaaaaaaaaa, now bbbbbbbbbbbb); used as it is (--reuse-stale)" in capsys.readouterr().err
    )
    assert COMPUTED == ["one", "two", "three"]
    assert run(tmp_path / "a") == 0
    assert COMPUTED == ["one", "two", "three"] * 2


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_run_folder_that_goes_away_is_named(tmp_path, capsys, how):
    folder = tmp_path / "a"
    HOOKS["two"] = lambda run: shutil.rmtree(folder) if how == "removed" else folder.rename(tmp_path / "b")
    assert run(folder) == 3
    err = capsys.readouterr().err
    assert f"error: the run folder {folder} was removed or renamed during the run; stopped" in err
    assert err.count("\n") == 1
    assert not folder.exists()


def test_what_a_killed_process_was_writing_goes_when_the_run_goes_on(tmp_path):
    folder = tmp_path / "run"
    assert run(folder) == 0
    halves = [folder / ".results.json.123.tmp.json", folder / "items" / ".one.json.77.tmp.json"]
    for half in halves:
        half.write_text("{")
    kept = folder / ".notes.tmp.txt"
    kept.write_text("the user's")
    assert run(folder) == 0
    assert not any(half.exists() for half in halves) and kept.exists()


def test_a_removed_lock_stops_the_run(tmp_path, capsys):
    HOOKS["one"] = lambda run: (tmp_path / "a" / ".lock").unlink()
    assert run(tmp_path / "a") == 3
    assert "was removed: another process may be writing; stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero (the traceback is in"),
        (StoppedError("3 of 3 requests failed"), 3, "error: 3 of 3 requests failed"),
        (IncompleteError("1 of 3 items is missing: two"), 4, "error: 1 of 3 items is missing: two"),
        (OSError(28, "No space left on device", "x.npz"), 3, "error: no space left on the disk while writing x.npz"),
        (KeyboardInterrupt(), 130, "interrupted: 2 finished pieces of work"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(tmp_path, capsys, error, status, line):
    def fail(run: Run) -> None:
        raise error

    HOOKS["two"] = fail
    assert run(tmp_path / "a") == status
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
    HOOKS.clear()
    assert run(tmp_path / "a") == 0
    assert COMPUTED == ["one", "two", "three"], "what was finished is kept"


def test_sigterm_says_what_is_kept(tmp_path, capsys):
    def terminate(run: Run) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    HOOKS["two"] = terminate
    assert run(tmp_path / "a") == 143
    assert (
        f"terminated: 2 finished pieces of work and what else was written are kept in {tmp_path / 'a'}; "
        "run the same command to continue\n"
    ) == capsys.readouterr().err
    assert json.loads((tmp_path / "a" / "run.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"RANK": "-1"}, "expected RANK to be a whole number of at least 0; got '-1'"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "expected MASTER_ADDR and MASTER_PORT beside WORLD_SIZE=2"),
    ],
)
def test_variables_of_torchrun_that_cannot_be(tmp_path, capsys, monkeypatch, variables, text):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run(tmp_path / "a") == 2
    err = capsys.readouterr().err
    assert text in err and err.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_a_device_that_is_not_there_is_said_before_any_work(tmp_path, capsys):
    assert run(tmp_path / "a", "--device", "cuda:99") == 2
    assert "expected --device cuda:99 to be there; this machine has" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert COMPUTED == []


def test_debug_shows_the_traceback_and_the_line(tmp_path, capsys):
    HOOKS["one"] = lambda run: 1 / 0
    assert run(tmp_path / "a", "--debug") == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.rstrip().splitlines()[-1].startswith("error: the program failed at test_faults.py:")
