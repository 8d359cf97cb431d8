"""Independent pieces of work in several processes of this machine, each with its share of the cores.

Small networks keep one core busy and hardly two: as many of them at once as there are cores is faster than one after
another with all cores. Results are handed back as they come. Workers end with their parent, however it ends, and a
worker that dies (out of memory, killed) ends the work instead of leaving it waiting.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from eval.errors import StoppedError
from eval.processes import set_threads
from eval.progress import hide_bars


def in_workers(
    work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, workers: int, threads: int
) -> Iterator[Any]:
    """Results of ``work(*arguments[i])`` in the order they finish (with one worker: here, in the given order).

    Args:
        work: a function of a module (workers import it), returning what can be pickled.
        workers: processes at once, at least 1. threads: cores in all, shared equally, at least one each.

    Raises:
        What ``work`` raised first (the other workers are ended), and StoppedError for a worker that died.
    """
    workers = max(1, min(workers, len(arguments)))
    if workers == 1:
        for given in arguments:
            yield work(*given)
        return
    share = max(1, threads // workers)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(share,))
    others = set(multiprocessing.active_children())
    try:
        for future in as_completed([pool.submit(work, *given) for given in arguments]):
            yield future.result()
    except BrokenProcessPool as error:
        raise StoppedError(
            f"expected {workers} worker processes to finish; one was killed (out of memory?); what was computed is "
            "kept: run the same command again, with a smaller --jobs"
        ) from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start(threads: int) -> None:
    """In a new worker: its cores, no bars, Ctrl-C left to the parent, and an end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(threads)
    hide_bars()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
