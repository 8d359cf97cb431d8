"""The finished networks of a sweep, collected from its run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from eval.errors import UserError
from eval.files import is_intact
from eval.progress import say
from eval.results import Result
from eval.runs import Run
from vision_codes.lenses.sweep.networks import Network
from vision_codes.lenses.sweep.results import Analysed, Reconstructed, SiteOfNetwork, Trained, TrainingRow
from vision_codes.lenses.training.results import Epoch

Kind = TypeVar("Kind", bound=Result)


@dataclass(frozen=True)
class Sweep:
    """Everything a sweep folder holds.

    items: analyses by (dropout, seed), dropout None for the untrained networks. training: histories likewise.
    reconstructions: how good they are, likewise.
    """

    folder: Path
    items: dict[tuple[float | None, int], Analysed]
    training: dict[tuple[float, int], Trained]
    reconstructions: dict[tuple[float, int], Reconstructed]

    @property
    def dropouts(self) -> list[float]:
        return sorted({dropout for dropout, _ in self.training})

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for _, seed in self.training})

    def item(self, dropout: float, seed: int) -> Analysed | None:
        return self.items.get((dropout, seed))

    def analysed(self, dropout: float) -> list[Analysed]:
        """The analysed networks of one dropout, by seed."""
        return [item for seed in self.seeds if (item := self.item(dropout, seed)) is not None]

    def untrained(self) -> list[Analysed]:
        return [item for (dropout, _), item in self.items.items() if dropout is None]

    def site_names(self) -> list[str]:
        """The ReLU sites in order of depth."""
        return [row.site for row in next(iter(self.items.values())).spectra]

    def _arrays(self, dropout: float, seed: int, prefix: str) -> dict[str, np.ndarray]:
        arrays = Run(self.folder).read_arrays(f"dropout={dropout:g},seed={seed}") or {}
        return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}

    def eigenvalues(self, dropout: float, site: str) -> list[np.ndarray]:
        found = (self._arrays(dropout, seed, "spectrum|") for seed in self.seeds)
        return [arrays[site] for arrays in found if site in arrays]

    def drawn(self, dropout: float) -> dict[str, np.ndarray]:
        """Trajectories by site (in order of depth) of the first seed."""
        arrays = self._arrays(dropout, self.seeds[0], "drawn|") if self.seeds else {}
        return {site: arrays[site] for site in self.site_names() if site in arrays}

    def histories(self, dropout: float) -> list[tuple[Epoch, ...]]:
        return [entry.history for (found, _), entry in sorted(self.training.items()) if found == dropout]

    @property
    def networks(self) -> list[Network]:
        """Analysed networks, as the claims take them: the trained ones, then the untrained controls."""
        trained = [(dropout, item) for dropout in self.dropouts for item in self.analysed(dropout)]
        every = [*trained, *((None, item) for item in self.untrained())]
        return [Network(dropout, item.seed, item.spectra, item.dot) for dropout, item in every]

    def sites(self) -> tuple[SiteOfNetwork, ...]:
        """One row per network and site, spectra and projections of the dot together."""
        return tuple(
            SiteOfNetwork(network.dropout, network.seed, spectrum, dot)
            for network in self.networks
            if network.dropout is not None
            for spectrum, dot in zip(network.spectra, network.dot, strict=True)
        )

    def training_rows(self) -> tuple[TrainingRow, ...]:
        """One row per trained network."""
        rows = []
        for key, entry in sorted(self.training.items()):
            first, last = entry.history[0], entry.history[-1]
            drawn = self.reconstructions.get(key)
            rows.append(
                TrainingRow(
                    *key,
                    epochs=last.epoch,
                    validation_loss_first=first.validation_loss,
                    validation_loss_last=last.validation_loss,
                    fell=last.validation_loss < first.validation_loss,
                    validation_reconstruction=last.validation_reconstruction,
                    validation_kl=last.validation_kl,
                    quality=None if drawn is None else drawn.quality,
                    seconds=sum(record.seconds for record in entry.history),
                )
            )
        return tuple(rows)


def collect(folder: str | Path) -> Sweep:
    """Read a sweep folder, finished or not; a damaged item is named and left out.

    Raises:
        UserError: no analysed network there.
    """
    folder = Path(folder)
    items = {(found.dropout, found.seed): found for found in _items(folder, "analysis_", Analysed)}
    training = {(found.dropout, found.seed): found for found in _items(folder, "training_", Trained)}
    if not items or not training:
        raise UserError(
            f"expected a folder written by `vision_codes dropout-sweep`; {folder} holds no analysed network; "
            "run the sweep first"
        )
    drawn = {(found.dropout, found.seed): found for found in _items(folder, "reconstruction_", Reconstructed)}
    return Sweep(folder, items, training, drawn)


def _items(folder: Path, prefix: str, kind: type[Kind]) -> list[Kind]:
    found = []
    for path in sorted((folder / "items").glob(f"{prefix}*.json")):
        try:
            if not is_intact(path):
                raise ValueError("its content is not what was written")
            found.append(kind.from_json(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, KeyError, TypeError) as error:
            say(f"warning: {path} is damaged or of another version ({error}): left out; run the sweep again")
    return found
