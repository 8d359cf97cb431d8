"""The finished networks of a sweep, collected from its run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.runs import Run
from vision_codes.lenses.sweep.claims import Network


@dataclass(frozen=True)
class Sweep:
    """Everything a sweep folder holds.

    items: analyses by (dropout, seed), dropout None for the untrained networks. training: histories likewise.
    reconstructions: how good they are, likewise (``vision_codes.lenses.training.reconstructions.quality``).
    """

    folder: Path
    items: dict[tuple[float | None, int], dict[str, Any]]
    training: dict[tuple[float, int], dict[str, Any]]
    reconstructions: dict[tuple[float, int], dict[str, Any]]

    @property
    def dropouts(self) -> list[float]:
        return sorted({dropout for dropout, _ in self.training})

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for _, seed in self.training})

    def item(self, dropout: float, seed: int) -> dict[str, Any] | None:
        return self.items.get((dropout, seed))

    def rows(self, dropout: float, kind: str) -> list[list[dict[str, Any]]]:
        """Rows by depth, one list per analysed seed."""
        found = (self.item(dropout, seed) for seed in self.seeds)
        return [item[kind] for item in found if item is not None]

    def untrained_rows(self, kind: str) -> list[list[dict[str, Any]]]:
        return [item[kind] for (dropout, _), item in self.items.items() if dropout is None]

    def any_rows(self, kind: str) -> list[dict[str, Any]]:
        return next(iter(self.items.values()))[kind]

    def _arrays(self, dropout: float, seed: int, prefix: str) -> dict[str, np.ndarray]:
        arrays = Run(self.folder).read_arrays(f"dropout={dropout:g},seed={seed}") or {}
        return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}

    def eigenvalues(self, dropout: float, site: str) -> list[np.ndarray]:
        found = (self._arrays(dropout, seed, "spectrum|") for seed in self.seeds)
        return [arrays[site] for arrays in found if site in arrays]

    def drawn(self, dropout: float) -> dict[str, np.ndarray]:
        """Trajectories by site (in order of depth) of the first seed."""
        arrays = self._arrays(dropout, self.seeds[0], "drawn|") if self.seeds else {}
        order = [row["site"] for row in self.any_rows("spectra")]
        return {site: arrays[site] for site in order if site in arrays}

    def histories(self, dropout: float) -> list[list[dict[str, Any]]]:
        return [entry["history"] for (found, _), entry in sorted(self.training.items()) if found == dropout]

    @property
    def networks(self) -> list[Network]:
        """Analysed networks, as the claims take them."""
        pairs = [(dropout, seed, self.item(dropout, seed)) for dropout in self.dropouts for seed in self.seeds]
        return [Network(d, s, item["spectra"], item["dot"]) for d, s, item in pairs if item is not None]

    def site_rows(self) -> list[dict[str, Any]]:
        """Flat rows for ``results.json``: one per network and site, spectra and projections of the dot together."""
        out = []
        for network in self.networks:
            for spectrum, dot in zip(network.spectra, network.dot, strict=True):
                out.append({"dropout": network.dropout, "seed": network.seed, **spectrum, "dot": dict(dot)})
        return out

    def training_rows(self) -> list[dict[str, Any]]:
        """First and last validation loss of every run, whether it fell, and how good the reconstructions are."""
        rows = []
        for (dropout, seed), entry in sorted(self.training.items()):
            first, last = entry["history"][0], entry["history"][-1]
            quality = self.reconstructions.get((dropout, seed), {})
            rows.append(
                {
                    "dropout": dropout,
                    "seed": seed,
                    "epochs": last["epoch"],
                    "validation_loss_first": first["validation_loss"],
                    "validation_loss_last": last["validation_loss"],
                    "fell": last["validation_loss"] < first["validation_loss"],
                    "validation_reconstruction": last["validation_reconstruction"],
                    "validation_kl": last["validation_kl"],
                    **{key: value for key, value in quality.items() if key not in ("dropout", "seed")},
                    "seconds": sum(record["seconds"] for record in entry["history"]),
                }
            )
        return rows


def collect(folder: str | Path) -> Sweep:
    """Read a sweep folder, finished or not.

    Raises:
        UserError: no analysed network there.
    """
    folder = Path(folder)
    items = {_key(found): found for found in _items(folder, "analysis_")}
    training = {_key(found): found for found in _items(folder, "training_")}
    if not items or not training:
        raise UserError(
            f"expected a folder written by `vision_codes dropout-sweep`; {folder} holds no analysed network; "
            "run the sweep first"
        )
    reconstructions = {_key(found): found for found in _items(folder, "reconstruction_")}
    return Sweep(folder, items, training, reconstructions)


def _items(folder: Path, prefix: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "items").glob(f"{prefix}*.json"))]


def _key(item: dict[str, Any]) -> tuple[Any, int]:
    return item["dropout"], item["seed"]
