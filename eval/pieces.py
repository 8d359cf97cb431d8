"""The pieces of a study, kept as they are done, without the study knowing where.

    study(..., pieces=Pieces())                 # a script: every piece is computed
    study(..., pieces=Pieces(run, modules))     # a command: what the run folder holds is read back

A study that computes everything through its pieces ends with the same result, figures included, whether it was killed
on the way or not; what is lost is the piece under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from eval.result_json import from_json, to_json

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
        if self.run is None:
            return compute()
        return from_json(kind, self.run.item(self.prefix + name, lambda: to_json(compute()), of=self.modules))

    def with_arrays(
        self, name: str, kind: type[Found], compute: Callable[[], tuple[Found, Mapping[str, Any]]]
    ) -> tuple[Found, Arrays]:
        """The same with arrays beside the value, kept as one piece."""

        def plain() -> tuple[Any, Mapping[str, Any]]:
            value, arrays = compute()
            return to_json(value), arrays

        if self.run is None:
            value, arrays = compute()
            return value, {key: np.asarray(array) for key, array in arrays.items()}
        kept, arrays = self.run.item_with_arrays(self.prefix + name, plain, of=self.modules)
        return from_json(kind, kept), arrays
