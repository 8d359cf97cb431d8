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
from functools import partial
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
        if self.run is None:
            return list(shared_out(computations).values())
        plain = {name: partial(_as_json, compute) for name, compute in computations.items()}
        found = self._kept_or_made(plain, self.run.read_item, self.run.item)
        return [from_json(kind, value) for value in found]

    def with_arrays(
        self, name: str, kind: type[Found], compute: Callable[[], tuple[Found, Mapping[str, Any]]]
    ) -> tuple[Found, Arrays]:
        """A piece with arrays beside its value, kept as one."""
        return self.all_with_arrays(kind, {name: compute})[0]

    def all_with_arrays(
        self, kind: type[Found], computations: Mapping[str, Callable[[], tuple[Found, Mapping[str, Any]]]]
    ) -> list[tuple[Found, Arrays]]:
        """The same for the pieces of these names, in their order."""
        if self.run is None:
            return [(value, _plain(arrays)) for value, arrays in shared_out(computations).values()]
        plain = {name: partial(_as_json_with_arrays, compute) for name, compute in computations.items()}
        found = self._kept_or_made(plain, self.run.read_item_with_arrays, self.run.item_with_arrays)
        return [(from_json(kind, value), arrays) for value, arrays in found]

    def _kept_or_made(
        self, computations: Mapping[str, Callable[[], Any]], read: Callable[..., Any], keep: Callable[..., Any]
    ) -> list[Any]:
        """What the run holds of these names is read by the main process; the rest is shared out, and kept by it."""

        def there() -> dict[str, Any]:
            found = {name: read(self.prefix + name, of=self.modules) for name in computations}
            return {name: value for name, value in found.items() if not isinstance(value, Missing)}

        def kept(name: str, value: Any) -> None:
            keep(self.prefix + name, lambda: value, of=self.modules)

        whole = once(there)
        whole |= shared_out({name: make for name, make in computations.items() if name not in whole}, kept)
        return [whole[name] for name in computations]


def _plain(arrays: Mapping[str, Any]) -> Arrays:
    return {name: np.asarray(array) for name, array in arrays.items()}


def _as_json(compute: Callable[[], Any]) -> Any:
    return json_ready(to_json(compute()))


def _as_json_with_arrays(compute: Callable[[], tuple[Any, Mapping[str, Any]]]) -> tuple[Any, Arrays]:
    value, arrays = compute()
    return json_ready(to_json(value)), _plain(arrays)
