"""Units of a hooked model: what reads them off the activations, and the pass that records them.

Axes: ``batch`` (windows), ``position`` (kept tokens), ``width`` (of the site), ``column`` (one per unit, two per signed
unit: relu(z) and relu(-z)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.errors import UserError
from eval.explanation.records import Recorder
from eval.explanation.results import UnitSource
from eval.explanation.units import Unit
from llm_codes.corpus import Batch
from llm_codes.lenses.explain.unit_sources.drawing import drawn
from llm_codes.sites import Site

Read = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Readout:
    """Units at one site and the function from its activations to their columns (all non-negative).

    vectors: [width, unit] for directions (kept so that a control can centre them anew), else ``None``. decoder:
    [unit, width], what each feature of a dictionary writes at its site, ``None`` where it writes elsewhere.
    passed_over: silent units that were drawn on the way to these.
    """

    site: Site
    units: tuple[Unit, ...]
    read: Read
    vectors: Tensor | None = None
    decoder: Tensor | None = None
    passed_over: int = 0

    @property
    def n_columns(self) -> int:
        return sum(2 if unit.is_signed else 1 for unit in self.units)


class SiteMoments:
    """A consumer for `harvest`: mean, covariance, covariance of steps and maxima of a site on some windows.

    mean [width]; covariance [width, width] of tokens; steps [width, width] of differences of neighbouring tokens;
    mean_maximum [width], the mean over windows of a coordinate's largest value (how [B23] ranks neurons); fires
    [width], whether it is positive anywhere. The two covariances are accumulated on request: they cost more than the
    forward pass.
    """

    def __init__(self, sites: Sequence[Site], *, covariance: bool = True, steps: bool = True) -> None:
        self.sites = tuple(sites)
        self._with_covariance, self._with_steps = covariance, steps
        self._n = self._windows = self._n_steps = 0
        zeros = {site.hook: torch.zeros(site.width, dtype=torch.float64) for site in sites}
        square = {site.hook: torch.zeros(site.width, site.width, dtype=torch.float64) for site in sites}
        self._sum, self._peaks = zeros, {hook: value.clone() for hook, value in zeros.items()}
        self._products, self._steps = square, {hook: value.clone() for hook, value in square.items()}
        self._fires = {site.hook: torch.zeros(site.width, dtype=torch.bool) for site in sites}

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        positions = keep[0]
        self._windows += len(keep)
        self._n += int(keep.sum())
        self._n_steps += len(keep) * (int(positions.sum()) - 1)
        for site in self.sites:
            x = activations[site.hook][:, positions].float().cpu()
            self._sum[site.hook] += x.sum(1).double().sum(0)
            if self._with_covariance:
                flat = x.flatten(0, 1)
                self._products[site.hook] += flat.T @ flat
            if self._with_steps:
                steps = (x[:, 1:] - x[:, :-1]).flatten(0, 1)
                self._steps[site.hook] += steps.T @ steps
            largest = x.amax(1)
            self._peaks[site.hook] += largest.double().sum(0)
            self._fires[site.hook] |= (largest > 0).any(0)

    def mean(self, hook: str) -> Float[Tensor, " width"]:
        return self._sum[hook] / self._n

    def mean_maximum(self, hook: str) -> Float[Tensor, " width"]:
        return self._peaks[hook] / self._windows

    def fires(self, hook: str) -> Bool[np.ndarray, " width"]:
        return self._fires[hook].numpy()

    def principal_directions(self, hook: str, count: int) -> Float[Tensor, "width direction"]:
        """Unit eigenvectors of the covariance, largest eigenvalue first."""
        return torch.linalg.eigh(self._covariance(hook))[1].flip(1)[:, :count]

    def least_action_directions(self, hook: str, count: int) -> Float[Tensor, "width direction"]:
        """Directions with the least mean squared step for their variance: step r = lambda covariance r, smallest first.

        Solved within the principal directions that hold 99.9% of the variance (elsewhere the ratio is noise).
        """
        values, vectors = torch.linalg.eigh(self._covariance(hook))
        values, vectors = values.flip(0), vectors.flip(1)
        held = int((values.cumsum(0) < 0.999 * values.sum()).sum()) + 1
        whiten = vectors[:, :held] / values[:held].sqrt()
        ratio = whiten.T @ (self._steps[hook] / self._n_steps) @ whiten
        directions = whiten @ torch.linalg.eigh(ratio)[1][:, :count]
        return directions / directions.norm(dim=0)

    def _covariance(self, hook: str) -> Float[Tensor, "width width"]:
        mean = self.mean(hook)
        return self._products[hook] / self._n - torch.outer(mean, mean)


def coordinate_readout(
    site: Site, moments: SiteMoments, count: int, *, ranked: bool, seed: int, live: bool = True
) -> Readout:
    """Neurons of a site: a random sample (live: of those that fire), or those with the largest mean maximum."""
    if count > site.width:
        raise UserError(f"expected at most {site.width} neurons at {site.name}, got --per-layer {count}; lower it")
    if ranked:
        index, silent = torch.argsort(moments.mean_maximum(site.hook), descending=True)[:count].numpy(), 0
    else:
        fires = moments.fires(site.hook) if live else None
        index, silent = drawn(site.width, count, [seed, site.layer], fires)
    units = tuple(Unit("neuron", site.layer, int(i), site.hook) for i in index)
    chosen = torch.as_tensor(np.array(index))
    return Readout(site, units, lambda x: x[..., chosen].relu(), passed_over=silent)


def direction_readout(kind: str, site: Site, moments: SiteMoments, count: int, seed: int) -> Readout:
    """Signed directions of a site: ``random`` r ~ N(0, I/m), ``pca``, or ``action``."""
    if kind == "random":
        generator = np.random.default_rng([seed, 1, site.layer])
        vectors = torch.as_tensor(generator.standard_normal((site.width, count)) / np.sqrt(site.width))
    elif kind == "pca":
        vectors = moments.principal_directions(site.hook, count)
    else:
        vectors = moments.least_action_directions(site.hook, count)
    units = tuple(Unit(kind, site.layer, i, site.hook) for i in range(vectors.shape[1]))
    return centred(Readout(site, units, lambda x: x, vectors), moments)


def centred(readout: Readout, moments: SiteMoments) -> Readout:
    """The same directions, centred on these moments' mean; a readout without directions is returned as it is."""
    if readout.vectors is None:
        return readout
    vectors = readout.vectors.float()
    offset = (moments.mean(readout.site.hook) @ readout.vectors).float()

    def read(x: Tensor) -> Tensor:
        z = x @ vectors - offset
        return torch.stack([z.relu(), (-z).relu()], -1).flatten(-2)  # column 2u is +, 2u + 1 is -

    return Readout(readout.site, readout.units, read, readout.vectors)


class RecordUnits:
    """A consumer for `harvest` that fills a recorder, and a second one in which windows are shuffled within a split.

    number: window number of the corpus -> row of ``Windows``. shuffled: row -> row, a permutation within each split.
    """

    def __init__(
        self,
        readouts: Sequence[Readout],
        recorder: Recorder,
        number: Mapping[int, int],
        control: Recorder | None = None,
        shuffled: np.ndarray | None = None,
    ) -> None:
        self.readouts = list(readouts)
        self.recorder = recorder
        self.control = control
        self._number = number
        self._shuffled = shuffled

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(dict.fromkeys(readout.site for readout in self.readouts))

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        positions = keep[0]
        columns = [r.read(activations[r.site.hook][:, positions].float()) for r in self.readouts]
        values = torch.cat([column.cpu() for column in columns], -1).numpy()
        rows = np.array([self._number[int(window)] for window in batch.window])
        self.recorder.update(values, rows)
        if self.control is not None and self._shuffled is not None:
            self.control.update(values, self._shuffled[rows])


def columns_of(readouts: Sequence[Readout]) -> tuple[list[Unit], list[tuple[int, ...]]]:
    """Every unit in order, and its column or pair of columns in what `RecordUnits` records."""
    units: list[Unit] = []
    columns: list[tuple[int, ...]] = []
    first = 0
    for unit in (unit for readout in readouts for unit in readout.units):
        width = 2 if unit.is_signed else 1
        units.append(unit)
        columns.append(tuple(range(first, first + width)))
        first += width
    return units, columns


def describe_readouts(readouts: Sequence[Readout]) -> list[UnitSource]:
    """Kinds and sites of a run, for its provenance."""
    return [
        UnitSource(
            kind=readout.units[0].kind,
            site=readout.site.name,
            hook=readout.site.hook,
            n=len(readout.units),
            source=readout.units[0].source,
            content=readout.units[0].content,
            passed_over=readout.passed_over,
        )
        for readout in readouts
        if readout.units
    ]
