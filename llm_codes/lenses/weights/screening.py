"""Which few of the many possible inputs of each target are worth a regression? Candidates by four criteria.

    correlation   of what arrives with the target's activation
    attribution   virtual weight times what arrives on average where the target is on (weights reweighted by
                  co-activation)
    weight        the largest virtual weights, whether their features ever fire with the target or not
    chance        drawn among features that live

All paths do not fit in memory at once for a large model, so that they are read in groups, one pass over the fitting
documents each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.weights.paths import Columns, Path, Targets, read_corpus
from llm_codes.lenses.weights.virtual import VirtualWeights
from llm_codes.models import Model

CRITERIA = ("correlation", "attribution", "weight", "chance")
GROUP_GB = 1.0


@dataclass
class _Best:
    """The best columns of each target so far by one criterion."""

    score: Float[Tensor, "target place"]
    column: Int[Tensor, "target place"]
    virtual: Float[Tensor, "target place"]
    attribution: Float[Tensor, "target place"]

    @classmethod
    def of(cls, n_targets: int, count: int) -> _Best:
        shape = (n_targets, count)
        empty = torch.zeros(shape)
        return cls(torch.full(shape, -1.0), torch.full(shape, -1, dtype=torch.long), empty, empty)

    def offer(self, scores: Float[Tensor, "column target"], first: int, virtual: Tensor, attribution: Tensor) -> None:
        """Candidates `first, first + 1, ...`; those with a score of 0 or less are none."""
        top = scores.T.topk(min(self.score.shape[1], len(scores)), dim=1)
        at, found = top.indices, top.values > 0
        score = torch.cat([self.score, torch.where(found, top.values, -1.0)], 1)
        order = score.topk(self.score.shape[1], dim=1).indices
        news = (torch.where(found, at + first, -1), virtual.T.gather(1, at), attribution.T.gather(1, at))
        olds = (self.column, self.virtual, self.attribution)
        merged = [torch.cat([old, new], 1) for old, new in zip(olds, news, strict=True)]
        self.score = score.gather(1, order)
        self.column, self.virtual, self.attribution = (one.gather(1, order) for one in merged)


@dataclass(frozen=True)
class Candidates:
    """columns: of each target, -1 where a place is empty (what two criteria find is kept once). virtual: their virtual
    weights. attribution: these times the mean of what arrives where the target is on. chance: drawn blindly."""

    columns: Int[Tensor, "target input"]
    virtual: Float[Tensor, "target input"]
    attribution: Float[Tensor, "target input"]
    chance: Bool[Tensor, "target input"]

    @property
    def filled(self) -> Tensor:
        """Places that hold a candidate."""
        return self.columns >= 0


@torch.no_grad()
def screen(
    model: Model,
    corpus: Corpus,
    transcoders: Sequence[LayerTranscoder],
    virtual: VirtualWeights,
    walk: HarvestOptions,
    *,
    per_criterion: int,
    n_edges: int,
    seed: int,
) -> Candidates:
    """Candidates of every target: `per_criterion` by correlation and by attribution, `n_edges` by weight and chance."""
    columns, targets = virtual.columns, virtual.targets
    sizes = (per_criterion, per_criterion, n_edges, n_edges)
    best = {name: _Best.of(len(targets), size) for name, size in zip(CRITERIA, sizes, strict=True)}
    generator = torch.Generator().manual_seed(seed)
    groups = path_groups(columns, len(targets))
    for number, group in enumerate(groups):
        label = "candidates" if len(groups) == 1 else f"candidates, part {number + 1} of {len(groups)}"
        sums = _moments(model, corpus, transcoders, targets, columns, group, walk, label)
        for path, found in zip(group, sums, strict=True):
            weights = virtual.along(path)
            first = columns.paths.index(path) * columns.width
            live = (found.square > 0)[:, None] & (weights != 0)
            attribution = weights * found.where_on
            scores = {
                "correlation": found.correlation(),
                "attribution": attribution.abs(),
                "weight": weights.abs(),
                "chance": torch.rand(weights.shape, generator=generator),
            }
            for name, score in scores.items():
                best[name].offer(score * live, first, weights, attribution)
    return _together(best)


def path_groups(columns: Columns, n_targets: int, gigabytes: float = GROUP_GB) -> list[list[Path]]:
    """Paths that fit in memory together, in their order."""
    groups: list[list[Path]] = [[]]
    room = gigabytes * 1e9
    for path in columns.paths:
        needed = columns.reach(path) * n_targets * 8
        if groups[-1] and needed > room:
            groups.append([])
            room = gigabytes * 1e9
        groups[-1].append(path)
        room -= needed
    return groups


@dataclass
class _PathSums:
    """Sums over kept positions of what arrives along one path, alone and with each target."""

    total: Float[Tensor, " column"]
    square: Float[Tensor, " column"]
    cross: Float[Tensor, "column target"]
    on: Float[Tensor, "column target"]
    targets: _TargetSums

    @property
    def where_on(self) -> Tensor:
        """Mean of what arrives where the target is on."""
        return self.on / self.targets.on.clamp(min=1)

    def correlation(self) -> Tensor:
        """|correlation| with the target's activation; 0 where either is constant."""
        n, own = self.targets.n, self.targets
        covariance = self.cross - self.total[:, None] * (own.total / n)
        variance = (self.square - self.total.square() / n).clamp(min=0)[:, None]
        product = variance * (own.square - own.total.square() / n).clamp(min=0)
        return torch.where(product > 0, covariance.abs() / product.clamp(min=1e-30).sqrt(), 0.0)


@dataclass
class _TargetSums:
    total: Tensor
    square: Tensor
    on: Tensor
    n: int = 0


def _moments(
    model: Model,
    corpus: Corpus,
    transcoders: Sequence[LayerTranscoder],
    targets: Targets,
    columns: Columns,
    group: Sequence[Path],
    walk: HarvestOptions,
    label: str,
) -> list[_PathSums]:
    size = len(targets)
    own = _TargetSums(torch.zeros(size), torch.zeros(size), torch.zeros(size))
    sums = []
    for path in group:
        reach = columns.reach(path)
        alone, together = torch.zeros(2, reach), torch.zeros(2, reach, size)
        sums.append(_PathSums(alone[0], alone[1], together[0], together[1], own))
    for reading in read_corpus(model, corpus, transcoders, columns, walk, label=label):
        activation = reading.activations(targets)
        on = (activation != 0).float()
        own.total += activation.sum(0)
        own.square += activation.square().sum(0)
        own.on += on.sum(0)
        own.n += len(activation)
        for path, found in zip(group, sums, strict=True):
            arrives = reading.regressors(path)
            found.total += arrives.sum(0)
            found.square += arrives.square().sum(0)
            found.cross.addmm_(arrives.T, activation)
            found.on.addmm_(arrives.T, on)
    return sums


def _together(best: dict[str, _Best]) -> Candidates:
    """All criteria side by side; where a target has a column twice, the later place is emptied."""
    columns = torch.cat([best[name].column for name in CRITERIA], 1)
    order = columns.argsort(dim=1, stable=True)
    ordered = columns.gather(1, order)
    repeated = torch.zeros_like(ordered, dtype=torch.bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    columns = columns.masked_fill(torch.zeros_like(repeated).scatter(1, order, repeated), -1)
    chance = torch.zeros_like(repeated)
    chance[:, -best["chance"].column.shape[1] :] = True
    virtual = torch.cat([best[name].virtual for name in CRITERIA], 1)
    attribution = torch.cat([best[name].attribution for name in CRITERIA], 1)
    empty = columns < 0
    return Candidates(columns, virtual.masked_fill(empty, 0), attribution.masked_fill(empty, 0), chance & ~empty)
