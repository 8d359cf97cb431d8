"""What the checks of the places inside a branch come to, per model: offered with their shapes, or not, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_codes.hooked import HookedModel

Place = tuple[str, int]


@dataclass(frozen=True)
class InsideChecks:
    """Of one model and one group of kinds.

    shapes: (items, width of one) by (kind, layer) of what is offered. reasons: why not, by (kind, layer). error: the
    largest relative error of the identities that hold, `None` where there was nothing to check.
    """

    shapes: dict[Place, tuple[int, int]] = field(default_factory=dict)
    reasons: dict[Place, str] = field(default_factory=dict)
    error: float | None = None


Check = Callable[["HookedModel"], InsideChecks]
