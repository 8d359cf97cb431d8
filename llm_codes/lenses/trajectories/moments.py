"""What the action of every projection needs, added up in one pass: moments of steps and of activations at each site.

Axes: window, position (time), width. A trajectory is one window's kept positions in order; steps never cross windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.measures.projections.held_out_action import GroupMoments
from eval.measures.spectra.document_moments import group_of
from llm_codes.corpus import Batch
from llm_codes.sites import Site

GROUPS = 8
GROUPED_WIDTH = 1024
"""Up to this width moments are kept in `GROUPS` groups of documents, beyond it in two."""
SUMS = ("group_differences", "group_second", "group_first", "counts")


@dataclass
class SiteMoments:
    """Sums at one site: D (steps), S (activations, uncentred), their counts, in groups of documents; and per-window
    sums for intervals.

    group_differences, group_second: float64 [group, width, width]; group_first: [group, width]; counts: [group, 2],
    steps and frames. windows: document, sum ||dA||^2, sum ||A||^2, squared step 0 -> 1 (all positions), every step,
    number of steps.
    """

    group_differences: Tensor
    group_second: Tensor
    group_first: Tensor
    counts: Tensor
    windows: list[tuple[int, float, float, float, float, int]] = field(default_factory=list)

    @classmethod
    def empty(cls, width: int) -> SiteMoments:
        groups = n_groups(width)
        square = torch.zeros(groups, width, width, dtype=torch.float64)
        first = torch.zeros(groups, width, dtype=torch.float64)
        return cls(square, square.clone(), first, torch.zeros(groups, 2, dtype=torch.int64))

    @property
    def differences(self) -> Tensor:
        """float64 [width, width]: sum of step outer products."""
        return self.group_differences.sum(0)

    @property
    def second(self) -> Tensor:
        return self.group_second.sum(0)

    @property
    def first(self) -> Tensor:
        return self.group_first.sum(0)

    @property
    def steps(self) -> int:
        return int(self.counts[:, 0].sum())

    @property
    def frames(self) -> int:
        return int(self.counts[:, 1].sum())

    @property
    def n_documents(self) -> int:
        return len({document for document, *_ in self.windows})

    def groups(self) -> GroupMoments:
        """By group of documents, for what is fitted on some and measured on others."""
        steps, frames = self.counts.double().numpy().T
        differences, second, first = self.group_differences, self.group_second, self.group_first
        return GroupMoments(differences.numpy(), second.numpy(), first.numpy(), steps, frames)

    def add(self, group: int, frames: Tensor, steps: Tensor) -> None:
        """Add rows of activations and of steps of one group."""
        self.group_differences[group] += (steps.T @ steps).cpu()
        self.group_second[group] += (frames.T @ frames).cpu()
        self.group_first[group] += frames.sum(0).cpu()
        self.counts[group] += torch.tensor([len(steps), len(frames)])

    def covariance_sum(self) -> Float[np.ndarray, "width width"]:
        """C = sum_t (A_t - mean)^T (A_t - mean)."""
        first = self.first
        return (self.second - torch.outer(first, first) / max(self.frames, 1)).numpy()


def n_groups(width: int) -> int:
    """Groups of documents whose moments are kept apart: enough for an interval, or halves where a site is wide."""
    return GROUPS if width <= GROUPED_WIDTH else 2


class TrajectoryMoments:
    """A `harvest` consumer: step and activation moments at every site, in float64."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = list(sites)
        self.moments = {site.hook: SiteMoments.empty(site.width) for site in self.sites}

    def memory_bytes(self) -> int:
        return sum(8 * (2 * n_groups(site.width) + 1) * site.width**2 for site in self.sites)

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        for site in self.sites:
            self._add(self.moments[site.hook], activations[site.hook].double(), batch, keep)

    def _add(self, moments: SiteMoments, values: Tensor, batch: Batch, keep: Tensor) -> None:
        both = keep[:, 1:] & keep[:, :-1]
        steps = (values[:, 1:] - values[:, :-1]) * both[..., None]
        groups = group_of(batch.document.numpy(), len(moments.counts))
        for group in np.unique(groups):
            rows = torch.from_numpy(np.flatnonzero(groups == group)).to(values.device)
            moments.add(int(group), values[rows][keep[rows]], steps[rows][both[rows]])
        squared_steps = steps.square().sum(-1).sum(1)
        squared = (values.square().sum(-1) * keep).sum(1)
        first_step = (values[:, 1] - values[:, 0]).square().sum(-1) if values.shape[1] > 1 else squared_steps * 0
        lost = torch.where(both[:, 0], 0.0, 1.0) if both.shape[1] else torch.zeros(len(values))
        every_step = squared_steps + first_step * lost.to(first_step)
        columns = (batch.document, squared_steps, squared, first_step, every_step, both.sum(1))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        moments.windows.extend(rows)

    def reduce(self) -> None:
        """Add up over processes."""
        import torch.distributed as distributed

        for moments in self.moments.values():
            for name in SUMS:
                distributed.all_reduce(getattr(moments, name))
            gathered: list[list[tuple[int, float, float, float, float, int]]] = [[]] * distributed.get_world_size()
            distributed.all_gather_object(gathered, moments.windows)
            moments.windows = [row for rows in gathered for row in rows]

    def state(self) -> dict[str, np.ndarray]:
        out = {}
        for hook, moments in self.moments.items():
            out |= {f"{hook}|{name}": getattr(moments, name).numpy() for name in SUMS}
            out[f"{hook}|windows"] = np.array(moments.windows, dtype=np.float64).reshape(-1, 6)
        return out

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        for hook, moments in self.moments.items():
            for name in SUMS:
                setattr(moments, name, torch.from_numpy(state[f"{hook}|{name}"].copy()))
            moments.windows = [
                (int(document), float(steps), float(square), float(first), float(every), int(count))
                for document, steps, square, first, every, count in state[f"{hook}|windows"]
            ]
