"""Small matrices run on one thread of NumPy's library, large ones on all; what was set before comes back."""

from __future__ import annotations

import threadpoolctl

from eval.measures.threads import SMALL, one_blas_thread, threads_for


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"}


def test_one_thread_inside_and_what_was_set_before_after() -> None:
    @one_blas_thread
    def inside(more: int = 0) -> tuple[set[int], int]:
        """Words."""
        return threads(), more

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        assert inside(more=3) == ({1}, 3)
        assert threads() == before
        with threads_for(SMALL):
            assert threads() == {1}
        with threads_for(SMALL + 1):
            assert threads() == before
        assert threads() == before
    assert inside.__name__ == "inside" and inside.__doc__ == "Words."
