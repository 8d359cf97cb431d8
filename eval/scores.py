"""A number with its interval and sample size, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """A value *or* a reason: an undefined result is a status, never a number and never dropped.

    value: the estimate, `None` exactly where `reason` is given.
    low, high: the interval (95% unless the producer says otherwise), both `None` where it is undefined.
    n: number of independent units behind the value (documents, seeds, windows: the producer says which).
    reason: why the value is undefined, in words a reader of the table understands.
    interval_reason: why the interval is undefined although the value is not.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str | None = None
    interval_reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"expected a value or a reason, got value={self.value} and reason={self.reason!r}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"expected a finite value, got {self.value}; use Score.undefined(reason)")

    @classmethod
    def undefined(cls, reason: str, n: int | None = None) -> Score:
        """No value, because of `reason`."""
        return cls(None, n=n, reason=reason)

    @classmethod
    def exact(cls, value: float, n: int | None = None) -> Score:
        """A value that is computed and not sampled: its interval is the value itself."""
        return cls(value, value, value, n)

    @property
    def is_defined(self) -> bool:
        return self.value is not None

    @property
    def interval(self) -> list[float] | None:
        """`[low, high]`, or `None` where either end is missing."""
        return None if self.low is None or self.high is None else [self.low, self.high]

    def fields(self, name: str) -> dict[str, Any]:
        """JSON fields: `name`, `name_ci`, and, where something is undefined, `name_reason` beside it."""
        out: dict[str, Any] = {name: self.value, f"{name}_ci": self.interval}
        if self.n is not None:
            out[f"{name}_n"] = self.n
        if self.reason or self.interval_reason:
            out[f"{name}_reason"] = self.reason or self.interval_reason
        return out

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined ({self.reason})"
        if self.interval is None:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"
