"""How a command ends: one place decides the exit status and the last line, whatever went wrong.

  0  everything that was asked for is there
  1  the program failed in a way nobody foresaw; the traceback is in `error.log` of the run folder (`--debug` shows it)
  2  an input that cannot be
  3  stopped on the way: a quota, too many failures, memory, the disk, a lost run folder
  4  went to the end, and something asked for is missing; the line names it
130  interrupted (Ctrl-C); 143: terminated (SIGTERM)
"""

from __future__ import annotations

import errno
import logging
import signal
import textwrap
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.errors import OneLineError
from eval.progress import say

LONGEST = 300
"""Characters of an exception's own text in the last line; the log has it whole."""
UNFORESEEN, INPUT, STOPPED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
FILE_PROBLEMS = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
OUT_OF_MEMORY = "out of memory; lower --batch-size or --tokens, or raise --max-memory-gb only if the machine has it"


class Terminated(KeyboardInterrupt):
    """SIGTERM: the process is asked to end, as a batch system does before it kills."""


@contextmanager
def termination_is_an_interrupt() -> Iterator[None]:
    """Within the block SIGTERM raises `Terminated` in the main thread (a handler of the caller's own is put back)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def is_out_of_memory(error: BaseException) -> bool:
    """Python's, NumPy's, CUDA's and torch's CPU allocator say it in four ways."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def ending(error: BaseException, folder: Path | None) -> tuple[int, str]:
    """Exit status and last line of a command that ended with `error`; `folder` is its run folder, where it has one."""
    if isinstance(error, OneLineError):
        return error.exit_status, f"error: {_one_line(str(error))}"
    if isinstance(error, KeyboardInterrupt):
        terminated = isinstance(error, Terminated)
        return (TERMINATED if terminated else INTERRUPTED), _interrupted(
            "terminated" if terminated else "interrupted", folder
        )
    if is_out_of_memory(error):
        return STOPPED, f"error: {OUT_OF_MEMORY}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or "the output folder"
        return (
            STOPPED,
            f"error: no space left on the disk while writing {where}; free some and run the same command to continue",
        )
    if isinstance(error, FILE_PROBLEMS) and error.filename is not None:
        return INPUT, f"error: {error.strerror or error}: {error.filename} (--debug shows the traceback)"
    return UNFORESEEN, _unforeseen(error, folder)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _interrupted(word: str, folder: Path | None) -> str:
    if folder is None:
        return f"{word}: this verb keeps nothing; run the same command to start again"
    kept = len([path for path in folder.glob("items/*.json") if not path.name.startswith(".")])
    if not folder.is_dir() or not (folder / "run.json").exists():
        return f"{word}: nothing was finished yet; run the same command to start again"
    pieces = f"{kept} finished {'piece' if kept == 1 else 'pieces'} of work and what else was written"
    return f"{word}: {pieces} are kept in {folder}; run the same command to continue"


def _unforeseen(error: BaseException, folder: Path | None) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    log = folder / "error.log" if folder is not None else None
    where = f"the traceback is in {log}" if log is not None and log.is_file() else "--debug shows the traceback"
    words = textwrap.shorten(str(error), LONGEST)
    return f"error: the program failed{place}: {type(error).__name__}: {words} ({where})"


def report(error: BaseException, folder: Path | None, *, debug: bool) -> int:
    """Say how the command ended, and return the exit status."""
    if debug:
        say("".join(traceback.format_exception(error)), logging.ERROR)
    status, line = ending(error, folder)
    say(line, logging.ERROR)
    return status
