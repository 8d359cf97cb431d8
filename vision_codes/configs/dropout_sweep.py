"""`vision_codes dropout-sweep` and `report`: every setting, its default, its help. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option
from vision_codes.configs.train import RecipeConfig


@dataclass(frozen=True, kw_only=True)
class DropoutSweepConfig(RecipeConfig):
    """Train networks that differ in dropout only, analyse each, and test the statements of Fig. 3 to 6."""

    dropouts: tuple[float, ...] = option((0.0, 0.2, 0.4, 0.8), "probabilities of dropping a unit, each in [0, 1)")
    seeds: int = option(3, "networks per dropout; those of one seed share their initial weights")
    n_spectra: int = option(2500, "images of the spectra (training and held-out ones together; 0: all)")
    n_controls: int = option(1000, "images of the control spectra (random and phase-scrambled; 0: all)")
    frames: int = option(200, "frames of a moving stimulus")
    projections: int = option(1000, "random projections per site")
    jobs: int = option(
        0,
        "networks at once, each in a process with its share of the cores (0: one per core; 1 on a GPU)",
        identity=False,
    )
    max_units: int = option(8000, "units of a site that are kept where it is wider than there are images")


@dataclass(frozen=True, kw_only=True)
class ReportConfig(RunConfig):
    """Figures 3 to 6 with intervals over seeds and the table of claims, from a finished (or unfinished) sweep."""

    sweep: str = option(help="folder written by `vision_codes dropout-sweep`")
