"""The pieces of a study, kept as they are done, without the study knowing where.

    study(..., pieces=Pieces())                 # a script: every piece is computed
    study(..., pieces=Pieces(run, modules))     # a command: what the run folder holds is read back

A study that computes everything through its pieces ends with the same result, figures included, whether it was killed
on the way or not; what is lost is the piece under way. Under `torchrun` the processes share the pieces that are asked
for together (`items`, `all_with_arrays`); one by itself is computed by the main process, and every process has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from eval.files import json_ready
from eval.result_json import from_json, to_json
from eval.run_items import Missing
from eval.shared_work import once, shared_out

if TYPE_CHECKING:
    from eval.runs import Run

Found = TypeVar("Found")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Pieces:
    """run: where pieces are kept (None: nowhere). modules: whose code makes them. prefix: of every name."""

    run: Run | None = None
    modules: tuple[str, ...] = ()
    prefix: str = ""

    def below(self, prefix: str) -> Pieces:
        """The same, for a part of the study whose pieces have names of their own."""
        return Pieces(self.run, self.modules, self.prefix + prefix)

    def item(self, name: str, kind: type[Found], compute: Callable[[], Found]) -> Found:
        """The finished piece `name`, a value of type `kind` (a result, or a tuple or mapping of results)."""
        return self.items(kind, {name: compute})[0]

    def items(self, kind: type[Found], computations: Mapping[str, Callable[[], Found]]) -> list[Found]:
        """The finished pieces of these names, in their order."""
        run, of = self.run, self.modules
        if run is None:
            return list(shared_out(computations).values())
        read, prefix = run.read_item, self.prefix

        def keep(name: str, value: Any) -> None:
            run.item(prefix + name, lambda: value, of=of)

        there = once(lambda: _there({name: read(prefix + name, of=of) for name in computations}))
        missing = {name: _as_json(compute) for name, compute in computations.items() if name not in there}
        whole = there | shared_out(missing, keep)
        return [from_json(kind, whole[name]) for name in computations]

    def with_arrays(
        self, name: str, kind: type[Found], compute: Callable[[], tuple[Found, Mapping[str, Any]]]
    ) -> tuple[Found, Arrays]:
        """A piece with arrays beside its value, kept as one."""
        return self.all_with_arrays(kind, {name: compute})[0]

    def all_with_arrays(
        self, kind: type[Found], computations: Mapping[str, Callable[[], tuple[Found, Mapping[str, Any]]]]
    ) -> list[tuple[Found, Arrays]]:
        """The same for the pieces of these names, in their order."""
        run, of, prefix = self.run, self.modules, self.prefix
        made = {name: _with_plain_arrays(compute) for name, compute in computations.items()}
        if run is None:
            return [(from_json(kind, value), arrays) for value, arrays in shared_out(made).values()]

        def keep(name: str, found: tuple[Any, Arrays]) -> None:
            run.item_with_arrays(prefix + name, lambda: found, of=of)

        there = once(lambda: _there({name: run.read_item_with_arrays(prefix + name, of=of) for name in computations}))
        whole = there | shared_out({name: make for name, make in made.items() if name not in there}, keep)
        return [(from_json(kind, whole[name][0]), whole[name][1]) for name in computations]


def _there(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not isinstance(value, Missing)}


def _as_json(compute: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: json_ready(to_json(compute()))


def _with_plain_arrays(compute: Callable[[], tuple[Any, Mapping[str, Any]]]) -> Callable[[], tuple[Any, Arrays]]:
    def computed() -> tuple[Any, Arrays]:
        value, arrays = compute()
        return json_ready(to_json(value)), {key: np.asarray(array) for key, array in arrays.items()}

    return computed
