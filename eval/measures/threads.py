"""Threads of the matrix library behind NumPy and SciPy: one where matrices are small.

A product or an eigenvalue problem of a hundred rows is over before a second thread has woken, and the woken thread then
spins beside torch's own: measured on two cores, the spectra of the embedded model took 2.7 times as long that way.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
SMALL = 1024
"""Rows of a matrix up to which one thread is as fast, for an eigenvalue problem in float64."""


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """The matrix libraries of this process, looked for once (NumPy and SciPy are loaded by then)."""
    import numpy.linalg  # noqa: F401
    import scipy.linalg  # noqa: F401

    return ThreadpoolController().select(user_api="blas")


def threads_for(rows: int) -> AbstractContextManager[Any]:
    """A block whose largest matrices have so many rows: one thread of the matrix library where that is small."""
    return _libraries().limit(limits=1) if rows <= SMALL else nullcontext()


def one_blas_thread(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a function of small matrices with one thread of NumPy's and SciPy's matrix library; torch keeps its own."""

    @wraps(function)
    def limited(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with _libraries().limit(limits=1):
            return function(*args, **kwargs)

    return limited
