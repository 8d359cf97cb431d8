"""Which process of how many this is, and how many cores it may use. Reads the environment that `torchrun` sets."""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path

from eval.errors import UserError

_by_itself: ContextVar[bool] = ContextVar("by_itself", default=False)


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return 0 if _by_itself.get() else int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes share the work."""
    return 1 if _by_itself.get() else int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process writes files and prints."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def alone() -> Iterator[None]:
    """While the block runs, this process shares nothing: it computes a piece of the work as one process would.

    Who writes files stays as it is.
    """
    before = _by_itself.set(True)
    try:
        yield
    finally:
        _by_itself.reset(before)


def check_environment() -> None:
    """Raises UserError where the variables that `torchrun` sets contradict each other or are no numbers."""
    numbers = {}
    for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")):
        text = os.environ.get(name, default)
        if not text.strip().isdecimal():
            raise UserError(
                f"expected {name} to be a whole number of at least 0; got {text!r}; unset it, or use torchrun"
            )
        numbers[name] = int(text)
    if numbers["WORLD_SIZE"] < 1 or numbers["RANK"] >= numbers["WORLD_SIZE"]:
        raise UserError(
            f"expected RANK below WORLD_SIZE; got RANK={numbers['RANK']} and WORLD_SIZE={numbers['WORLD_SIZE']}; "
            "unset both, or use torchrun"
        )
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if numbers["WORLD_SIZE"] > 1 and missing:
        raise UserError(
            f"expected {' and '.join(missing)} beside WORLD_SIZE={numbers['WORLD_SIZE']}; got none; "
            "unset WORLD_SIZE, or use torchrun"
        )


def check_device(flag: str, device: str) -> None:
    """Raises UserError where this machine has no such device (torch is imported only for one that is no `cpu`)."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return
    import torch

    if kind == "mps":
        count = int(torch.backends.mps.is_available())
    else:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        there = f"{count} of kind {kind}" if count else f"no {kind} device"
        raise UserError(f"expected {flag} {device} to be there; this machine has {there}; use cpu, or another number")


def ensure_home() -> None:
    """Libraries ask for a home folder and a user name when they are imported; where a container knows neither, a
    temporary folder and `nobody` stand in."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.mkdtemp(prefix="neural-codes-home-")
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = "nobody"


def usable_cores() -> int:
    """Cores this process may run on (respects CPU affinity; at least 1)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


PATIENCE = timedelta(days=1)
"""How long a process waits for the others: a piece of work may take hours."""


@contextmanager
def process_group(device: str = "cpu") -> Iterator[None]:
    """Join the process group that `torchrun` announced, and leave it at the end of the outermost block.

    A command opens one before anything else: a group made and ended once per pass lets a fast process end the first
    while a slow one still waits in it. Does nothing for a single process.
    """
    if world_size() == 1:
        yield
        return
    import torch.distributed as distributed

    owns = not distributed.is_initialized()
    if owns:
        backend = "nccl" if device.startswith("cuda") else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        if owns:
            distributed.destroy_process_group()


def agreed(value: bool) -> bool:
    """What the main process says, in every process: files may have changed between two looks at them.

    Every process must ask, in the same order; alone it is the value itself.
    """
    import torch.distributed as distributed

    if world_size() == 1 or not distributed.is_initialized():
        return value
    said = [value]
    distributed.broadcast_object_list(said, src=0)
    return bool(said[0])


def refuse_sharing(verb: str) -> None:
    """Raises UserError where several processes were started for a verb that runs in one."""
    if world_size() > 1:
        raise UserError(
            f"expected one process: `{verb}` does not share its work; got {world_size()}; start it without torchrun"
        )


THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def set_threads(threads: int) -> int:
    """Choose the thread count on purpose, before torch or BLAS choose for themselves; returns the count."""
    count = threads if threads > 0 else max(1, usable_cores() // world_size())
    for name in THREAD_VARIABLES:
        if not (name == "NUMBA_NUM_THREADS" and "numba" in sys.modules):  # numba refuses a change once it has started
            os.environ[name] = str(count)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    if "numba" in sys.modules:
        numba = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    return count
