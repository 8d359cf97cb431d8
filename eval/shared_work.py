"""Work that the processes of a `torchrun` share piece by piece: each computes some, every one ends with all of them.

    once(compute)                     the main process computes, all have the value
    shared_out(computations, keep)    process r computes the r-th piece of every round; the main one keeps it

A piece is computed as a process alone would compute it (`eval.processes.alone`), so that the numbers are those of one
process. A failure in one process ends all of them, each with a message: nobody waits for a piece that will not come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from eval.errors import UserError
from eval.processes import alone, is_main_process, rank, world_size

Found = TypeVar("Found")


def once(compute: Callable[[], Found]) -> Found:
    """What the main process finds, in every process; the others wait for it.

    Every process must ask, in the same order; alone it is the value itself. Raises what `compute` raises; in the other
    processes a UserError that says so.
    """
    if world_size() == 1:
        return compute()
    import torch.distributed as distributed

    value, error = _tried(compute) if is_main_process() else (None, None)
    said: list[Any] = [(value, error and _words(error))]
    distributed.broadcast_object_list(said, src=0)
    if said[0][1]:
        _end(error, 0, said[0][1])
    found: Found = said[0][0]
    return found


def shared_out(
    computations: Mapping[str, Callable[[], Found]], keep: Callable[[str, Found], object] = lambda name, value: None
) -> dict[str, Found]:
    """Every value by name, each computed by one process, in rounds of as many pieces as there are processes.

    keep: called in the main process with every piece of a round before the next one starts: a run that is killed loses
    one round.

    Raises:
        UserError: another process failed; it is named, with its message. Its own error where it was this one.
    """
    found: dict[str, Found] = {}
    names = list(computations)
    for start in range(0, len(names), world_size()):
        group = names[start : start + world_size()]
        for name, value in zip(group, _round([computations[name] for name in group]), strict=True):
            found[name] = value
            if is_main_process():
                keep(name, value)
    return found


def _round(computations: list[Callable[[], Found]]) -> list[Found]:
    """One piece in each process, as many as there are pieces."""
    if world_size() == 1:
        return [compute() for compute in computations]
    import torch.distributed as distributed

    value, error = _tried(computations[rank()]) if rank() < len(computations) else (None, None)
    gathered: list[Any] = [None] * world_size()
    distributed.all_gather_object(gathered, (value, error and _words(error)))
    for number, (_, words) in enumerate(gathered):
        if words:
            _end(error, number, words)
    return [value for value, _ in gathered[: len(computations)]]


def _tried(compute: Callable[[], Found]) -> tuple[Found | None, Exception | None]:
    try:
        with alone():
            return compute(), None
    except Exception as error:  # handed on to every process
        return None, error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _end(error: Exception | None, number: int, words: str) -> NoReturn:
    """This process's own failure, or that of another."""
    if error is not None:
        raise error
    raise UserError(f"expected process {number} to finish its piece of the work; it failed: {words}")
