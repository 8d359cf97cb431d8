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

from llm_codes.corpus import Batch
from llm_codes.sites import Site


@dataclass
class SiteMoments:
    """Sums at one site: D (steps), S (activations, uncentred), their counts, and per-window sums for intervals.

    differences: float64 [width, width], sum of step outer products. second, first: of activations.
    steps, frames: how many. window: document, sum ||dA||^2, sum ||A||^2, squared step 0 -> 1 (all positions).
    """

    differences: Tensor
    second: Tensor
    first: Tensor
    steps: int = 0
    frames: int = 0
    windows: list[tuple[int, float, float, float, float, int]] = field(default_factory=list)

    def covariance_sum(self) -> Float[np.ndarray, "width width"]:
        """C = sum_t (A_t - mean)^T (A_t - mean)."""
        return (self.second - torch.outer(self.first, self.first) / max(self.frames, 1)).cpu().numpy()


class TrajectoryMoments:
    """A `harvest` consumer: step and activation moments at every site, in float64."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = list(sites)
        self.moments = {site.hook: self._empty(site.width) for site in self.sites}

    @staticmethod
    def _empty(width: int) -> SiteMoments:
        square = torch.zeros(width, width, dtype=torch.float64)
        return SiteMoments(square, square.clone(), torch.zeros(width, dtype=torch.float64))

    def memory_bytes(self) -> int:
        return sum(3 * 8 * site.width**2 for site in self.sites)

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        for site in self.sites:
            self._add(self.moments[site.hook], activations[site.hook].double(), batch, keep)

    def _add(self, moments: SiteMoments, values: Tensor, batch: Batch, keep: Tensor) -> None:
        kept = values[keep]
        both = keep[:, 1:] & keep[:, :-1]
        steps = (values[:, 1:] - values[:, :-1]) * both[..., None]
        flat = steps[both]
        moments.differences += (flat.T @ flat).cpu()
        moments.second += (kept.T @ kept).cpu()
        moments.first += kept.sum(0).cpu()
        moments.steps += len(flat)
        moments.frames += len(kept)
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
            for tensor in (moments.differences, moments.second, moments.first):
                distributed.all_reduce(tensor)
            counts = torch.tensor([moments.steps, moments.frames])
            distributed.all_reduce(counts)
            moments.steps, moments.frames = (int(count) for count in counts)
            gathered: list[list[tuple[int, float, float, float, float, int]]] = [[]] * distributed.get_world_size()
            distributed.all_gather_object(gathered, moments.windows)
            moments.windows = [row for rows in gathered for row in rows]

    def state(self) -> dict[str, np.ndarray]:
        out = {}
        for hook, moments in self.moments.items():
            out[f"{hook}|differences"] = moments.differences.numpy()
            out[f"{hook}|second"] = moments.second.numpy()
            out[f"{hook}|first"] = moments.first.numpy()
            out[f"{hook}|counts"] = np.array([moments.steps, moments.frames])
            out[f"{hook}|windows"] = np.array(moments.windows, dtype=np.float64).reshape(-1, 6)
        return out

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        for hook, moments in self.moments.items():
            moments.differences = torch.from_numpy(state[f"{hook}|differences"].copy())
            moments.second = torch.from_numpy(state[f"{hook}|second"].copy())
            moments.first = torch.from_numpy(state[f"{hook}|first"].copy())
            moments.steps, moments.frames = (int(count) for count in state[f"{hook}|counts"])
            moments.windows = [
                (int(document), float(steps), float(square), float(first), float(every), int(count))
                for document, steps, square, first, every, count in state[f"{hook}|windows"]
            ]
