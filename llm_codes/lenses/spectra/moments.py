"""A harvest consumer that keeps the moments of every site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.measures.spectra.document_moments import half_of
from eval.measures.spectra.moments import Moments
from llm_codes.corpus import Batch
from llm_codes.sites import Site

LEAST_ROWS = 512
"""Left-out rows are few in a batch (one per window): they wait until there are this many, and cost one update."""


class SiteMomentsConsumer:
    """A `harvest` consumer: `Moments` at every site, and separately for the positions that are left out."""

    per_site = True

    def __init__(self, sites: Sequence[Site], *, left_out: bool = False) -> None:
        self.sites = list(sites)
        self.moments = {site.hook: Moments(site.width, site.hook) for site in self.sites}
        self.left_out = {site.hook: Moments(site.width, site.hook) for site in self.sites} if left_out else {}
        self._waiting: dict[str, list[tuple[Tensor, Tensor]]] = {hook: [] for hook in self.left_out}
        self._updates = 0

    def memory_bytes(self) -> int:
        return self.bytes_of(self.sites, left_out=bool(self.left_out))

    @staticmethod
    def bytes_of(sites: Sequence[Site], *, left_out: bool = False) -> int:
        """What a consumer of these sites will keep and need beside it, whatever the number of tokens."""
        per_site = [Moments.memory_bytes(site.width) for site in sites]
        working = max(Moments.working_bytes(site.width, 2048) for site in sites)
        waiting = sum(4 * LEAST_ROWS * site.width for site in sites) if left_out else 0
        return sum(per_site) * (2 if left_out else 1) + waiting + working

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        documents = batch.document[:, None].expand(keep.shape).flatten()
        keep = keep.cpu()
        kept, rest = (_by_half(mask.flatten(), documents) for mask in (keep, batch.mask & ~keep))
        number = self._updates // len(self.moments)
        for hook, activation in activations.items():
            values = activation.cpu().flatten(0, 1)
            self.moments[hook].update(values[kept], documents[kept], batch=number)
            if self.left_out:
                self._keep_waiting(hook, values[rest], documents[rest], number)
        self._updates += len(activations)

    def _keep_waiting(self, hook: str, values: Tensor, documents: Tensor, batch: int) -> None:
        self.left_out[hook].refuse_non_finite(values, batch)
        self._waiting[hook].append((values, documents))
        if sum(len(rows) for rows, _ in self._waiting[hook]) >= LEAST_ROWS:
            self._settle(hook)

    def _settle(self, hook: str) -> None:
        if waiting := self._waiting[hook]:
            values, documents = (torch.cat(parts) for parts in zip(*waiting, strict=True))
            order = _by_half(torch.ones(len(documents), dtype=torch.bool), documents)
            self.left_out[hook].update(values[order], documents[order])
            waiting.clear()

    def finish(self) -> None:
        """Add the rows that still wait: before the moments are read, saved or merged."""
        for hook in self.left_out:
            self._settle(hook)

    def reduce(self) -> None:
        """Merge over processes: every process ends with the whole."""
        import torch.distributed as distributed

        self.finish()
        for table in (self.moments, self.left_out):
            for hook, moments in table.items():
                states: list[Any] = [None] * distributed.get_world_size()
                distributed.all_gather_object(states, moments.state())
                whole = Moments(moments.width, hook)
                for state in states:
                    part = Moments(moments.width, hook)
                    part.load(state)
                    whole.merge(part)
                table[hook] = whole

    def state(self) -> dict[str, np.ndarray]:
        self.finish()
        out = {"updates": np.array(self._updates)}
        for name, table in (("kept", self.moments), ("left_out", self.left_out)):
            for hook, moments in table.items():
                out |= {f"{name}|{hook}|{key}": value for key, value in moments.state().items()}
        return out

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self._updates = int(state["updates"])
        for name, table in (("kept", self.moments), ("left_out", self.left_out)):
            for hook, moments in table.items():
                prefix = f"{name}|{hook}|"
                mine = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                moments.load(mine)


def _by_half(mask: Bool[Tensor, " token"], documents: Int[Tensor, " token"]) -> Int[Tensor, " kept"]:
    """Indices of the masked tokens, those of one half of the documents first: the moments need no second gather."""
    chosen = mask.nonzero()[:, 0]
    return chosen[torch.from_numpy(np.argsort(half_of(documents[chosen].numpy()), kind="stable"))]
