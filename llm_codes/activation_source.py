"""What activations are read from: a model that computes them, or a store that has them: same calls, same values.

Those who read activations take either (`harvest`, `ActivationStream`); the functions here tell the two apart, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from llm_codes.activation_store.store import ActivationStore
from llm_codes.models import load_model
from llm_codes.sites import Site, resolve_sites
from llm_codes.windows import Batch


class ActivationSource(Protocol):
    """A `Model` or an `ActivationStore`, as those who read activations see it."""

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def context(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def untrained(self) -> bool: ...
    @property
    def weights_sha256(self) -> str:
        """What the values come from, by content."""
        ...

    def numbers_alive(self, windows: int, context: int) -> int:
        """Numbers in memory at once while one batch is computed, beside what is handed out."""
        ...

    def check_hooks(self, names: Sequence[str]) -> None:
        """Raises UserError for a hook that it does not have."""
        ...

    def stream_batch(self, batch: Batch, hooks: Sequence[Any], receive: Callable[[str, Tensor], None]) -> None:
        """Call `receive(hook, activation)` for each site, in the order of the computation."""
        ...

    def provenance(self) -> dict[str, Any]:
        """What a results file says of it."""
        ...


def open_source(model: Any) -> ActivationSource:
    """A store as it is, or what `load_model` opens."""
    return model if isinstance(model, ActivationStore) else load_model(model)


def sites_of(source: Any, names: str | Sequence[str], layers: str | None = None) -> list[Site]:
    """The sites that are meant: of a model all it has, of a store those that are stored."""
    if isinstance(source, ActivationStore):
        return source.resolve_sites(names, layers)
    return resolve_sites(source, names, layers)


def order_of(source: Any, hooks: Sequence[str]) -> list[str]:
    """Hooks in the order of the computation."""
    if isinstance(source, ActivationStore):
        return [site.hook for site in source.sites if site.hook in set(hooks)]
    order: list[str] = []
    source.stream(torch.zeros(1, 2, dtype=torch.long), hooks, lambda hook, activation: order.append(hook))
    return order
