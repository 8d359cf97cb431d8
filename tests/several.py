"""The same call in several processes at once, with the environment that `torchrun` gives each."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.killed import CONTEXT, call


@dataclass(frozen=True)
class Ended:
    """Exit statuses and what was said, by process."""

    statuses: tuple[int | None, ...]
    said: tuple[str, ...]


def environments(processes: int) -> list[dict[str, str]]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    return [{**shared, "RANK": str(number), "LOCAL_RANK": str(number)} for number in range(processes)]


def _one(environment: dict[str, str], log: str, target: Callable[..., object], arguments: tuple[object, ...]) -> None:
    os.environ.update(environment)
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    try:
        target(*arguments)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def together(
    target: Callable[..., object], arguments: Sequence[object], notes: Path, *, processes: int = 2, seconds: float = 240
) -> Ended:
    """`target(*arguments)` in every process; a process that does not end is killed (status -9)."""
    logs = [notes.with_name(f"{notes.name}.rank{number}.log") for number in range(processes)]
    started = [
        CONTEXT.Process(target=_one, args=(environment, str(log), target, tuple(arguments)))
        for environment, log in zip(environments(processes), logs, strict=True)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
    said = tuple(log.read_text(encoding="utf-8") if log.exists() else "" for log in logs)
    return Ended(tuple(process.exitcode for process in started), said)


def verb(wing: str, arguments: Sequence[str], out: Path, *, processes: int = 2) -> Ended:
    """A verb on one run folder, in several processes."""
    log = out.with_name(f"{out.name}.both.log")
    ended = together(call, (wing, [*arguments, "--out", str(out)], str(log)), out, processes=processes)
    return Ended(ended.statuses, (*ended.said, log.read_text(encoding="utf-8")))
