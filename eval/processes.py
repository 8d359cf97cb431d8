"""Which process of how many this is, and how many cores it may use. Reads the environment that `torchrun` sets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes share the work."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process writes files and prints."""
    return rank() == 0


def usable_cores() -> int:
    """Cores this process may run on (respects CPU affinity; at least 1)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


@contextmanager
def process_group(device: str = "cpu") -> Iterator[None]:
    """Join the process group that `torchrun` announced; does nothing for a single process."""
    if world_size() == 1:
        yield
        return
    import torch.distributed as distributed

    owns = not distributed.is_initialized()
    if owns:
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        if owns:
            distributed.destroy_process_group()


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
