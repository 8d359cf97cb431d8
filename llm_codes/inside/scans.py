"""Recurrent states fire only where a scan runs step by step: while hooks are on them, and for that pass alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llm_codes.inside.views import STATE, base_of


@contextmanager
def stepwise(bridge: Any, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The scans whose states are among the hooks run step by step; yields what the model must be called with."""
    states = [base_of(name) for name in names if base_of(name).endswith(STATE)]
    mixers = [bridge.get_submodule(name.rpartition(".")[0]) for name in states]
    before = [mixer.eager_scan for mixer in mixers]
    try:
        for mixer in mixers:
            mixer.eager_scan = True
        yield {"use_cache": False} if mixers else {}
    finally:
        for mixer, own in zip(mixers, before, strict=True):
            mixer.eager_scan = own
