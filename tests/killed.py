"""Verbs in processes of their own that can be killed: forked from one that has imported what takes long.

whole = Started("toy", ["capacity", ...], folder / "whole").finish()
killed = Started("toy", ["capacity", ...], folder / "killed").kill_after(0.4 * whole.seconds)
"""

from __future__ import annotations

import csv
import importlib
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import vision_codes.__main__  # noqa: F401

PRELOADED = (
    *("tests.killed", "torch", "transformers", "transformer_lens", "sae_lens", "sklearn.cluster", "scipy.stats"),
    "eval.report.figures",
)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(list(PRELOADED))
VOLATILE = re.compile(r"seconds|minutes|per_second|throughput|rate$|peak_memory|megabytes|_mb$|_gb$")
"""Keys of results that say how fast or how large a run was: they may differ."""


def call(wing: str, arguments: list[str], log: str) -> None:
    """What a forked process does: the verb, both its streams in a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.exit(importlib.import_module(f"{wing}.__main__").main(arguments))


class Started:
    """A verb at work on a run folder, in a process of its own."""

    def __init__(self, wing: str, arguments: list[str], folder: Path) -> None:
        self.folder, self.log = folder, folder.with_suffix(".log")
        place = "--store" if arguments[0] == "harvest" else "--out"
        given = (wing, [*arguments, place, str(folder)], str(self.log))
        self.process = CONTEXT.Process(target=call, args=given)
        self.process.start()
        self.seconds = 0.0

    def _wait_for_the_folder(self) -> float:
        while self.process.is_alive() and not (self.folder / "run.json").exists():
            time.sleep(0.002)
        return time.monotonic()

    def finish(self, seconds: float = 300) -> Started:
        """Wait for its end; `seconds`: from the moment when it has its folder."""
        start = self._wait_for_the_folder()
        self.process.join(seconds)
        self.seconds = time.monotonic() - start
        return self

    def kill_after(self, seconds: float) -> bool:
        """SIGKILL so long after it has its folder; whether it was still at work."""
        self._wait_for_the_folder()
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        return self.process.exitcode == -signal.SIGKILL

    @property
    def status(self) -> int | None:
        return self.process.exitcode

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if not VOLATILE.search(key)}
    return [_stable(item) for item in value] if isinstance(value, list) else value


def _stable_rows(path: Path) -> list[Any]:
    with path.open(newline="", encoding="utf-8") as handle:
        return [_stable(row) for row in csv.DictReader(handle)]


def left_by(folder: Path) -> dict[str, Any]:
    """What a finished run holds: its results without provenance and speed, its pictures and tables by content."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    results.pop("provenance", None)
    text = json.dumps(_stable(results)).replace(str(folder), "OUT")
    pictures = {path.name: path.read_bytes() for path in sorted(folder.glob("figures/*.png"))}
    rows = {path.name: _stable_rows(path) for path in sorted(folder.glob("tables/*.csv")) if path.stem != "training"}
    return {"results": json.loads(text), "pictures": pictures, "tables": rows}
