"""Figures 3 to 6 of Marshall & Kirchner on one page, with intervals over seeds and the table of claims."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from eval.claims import claims_rows
from eval.errors import UserError
from eval.report.figures import SavedFigure
from eval.report.page import Page, Section
from eval.report.tables import text_table
from eval.runs import Run
from vision_codes.configs.dropout_sweep import ReportConfig
from vision_codes.lenses.sweep import figures as sweep_figures
from vision_codes.lenses.sweep.claims import Network, claims


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


def picture(path: Path, caption: str) -> Markup:
    """A PNG file as a figure with its data inlined."""
    data = base64.b64encode(path.read_bytes()).decode()
    template = '<figure><img style="width:100%;max-width:640px;image-rendering:pixelated" alt="{0}" src="{1}">'
    return Markup(template + "<figcaption>{0}</figcaption></figure>").format(
        caption, Markup(f"data:image/png;base64,{data}")
    )


def _reconstructions(section: Section, sweep: Sweep) -> None:
    section.text("Rows: held-out images, their reconstructions, samples from the prior (seed 0, last epoch).")
    for dropout in sweep.dropouts:
        folder = sweep.folder / "models" / f"dropout={dropout:g},seed={sweep.seeds[0]}" / "figures"
        drawn = sorted(folder.glob("epoch_*.png"))
        if drawn:
            section.markup(picture(drawn[-1], f"dropout {dropout:g}"))


def build_page(run: Run, sweep: Sweep) -> Page:
    """The page of a sweep: claims first, then Figures 3 to 6, training last."""
    found = claims(sweep.networks)
    counts = {verdict: sum(c.verdict == verdict for c in found) for verdict in ("holds", "fails", "cannot tell")}
    page = Page("What dropout does to a code", f"ResNet-VAE, {len(sweep.networks)} networks, {len(sweep.seeds)} seeds")
    section = page.section("Statements of Marshall & Kirchner")
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    section.text(
        f"{len(found)} statements: {summary}. Intervals are Student's t over seeds; the verdict follows from them."
    )
    section.table(claims_rows(found))
    page.section("Fig. 3: spectra by depth").figure(sweep_figures.alpha_by_depth(run, sweep))
    for path in sorted((sweep.folder / "figures").glob("eigenfilters_*.png")):
        page.sections[-1].markup(picture(path, f"Fig. 3d: {path.stem.replace('_', ' ')}"))
    section = page.section("Fig. 4: random projections of a moving dot")
    for dropout in sweep.dropouts:
        saved: SavedFigure | None = sweep_figures.trajectories(run, sweep, dropout)
        if saved is not None:
            section.figure(saved, f"Fig. 4, dropout {dropout:g}: {saved.caption}")
    section.figure(sweep_figures.scatter(run, sweep))
    page.section("Fig. 5: spectra by dropout").figure(sweep_figures.spectra_by_dropout(run, sweep))
    page.section("Fig. 6: by depth and dropout").figure(sweep_figures.dropout_by_depth(run, sweep))
    section = page.section("Training")
    section.figure(sweep_figures.training_curves(run, sweep)).table(sweep.training_rows())
    rose = [row for row in sweep.training_rows() if not row["fell"]]
    if rose:
        section.warning(f"The validation loss did not fall in {len(rose)} of {len(sweep.training)} runs.")
    _reconstructions(section, sweep)
    return page


def write_page(run: Run, folder: str | Path) -> Path:
    """Write ``report.html`` of the sweep in ``folder`` into the run."""
    return build_page(run, collect(folder)).write(run)


def command(config: ReportConfig, run: Run) -> str:
    """`vision_codes report`."""
    sweep = collect(config.sweep)
    path = build_page(run, sweep).write(run)
    found = claims(sweep.networks)
    run.finish({"claims": [claim.as_json() for claim in found], "sites": sweep.site_rows()}, sweep=config.sweep)
    return text_table(claims_rows(found), ["claim", "prediction", "measured", "verdict"]) + f"\n\n{path}"
