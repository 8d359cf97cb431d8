"""One decorator for numba functions: compiled, cached on disk, and blind to run-time type checkers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

import numba


def compiled(
    *, parallel: bool = False, inline: Literal["never", "always"] = "never"
) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True)` of the plain function.

    A run-time type checker (the tests install one) wraps every function before the decorators above it see it; numba
    can neither compile nor cache such a wrapper, so it is taken off first.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        return numba.njit(cache=True, parallel=parallel, inline=inline)(inspect.unwrap(function))

    return decorate
