"""`vision_codes dropout-sweep` and `report`: every setting, its default, its range, its help. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from eval.options import Options, RunConfig, nested, option
from eval.presets import Preset
from vision_codes.configs.images import ProcessorConfig
from vision_codes.configs.train import RecipeOptions


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions(Options):
    """How each network of a sweep is analysed."""

    spectra_images: int = option(
        2500,
        "images of the spectra (training and held-out ones together; 0: all)",
        at_least=0,
        formerly=("n_spectra",),
    )
    control_images: int = option(
        1000,
        "images of the control spectra (random and phase-scrambled; 0: all)",
        at_least=0,
        formerly=("n_controls",),
    )
    frames: int = option(200, "frames of a moving stimulus", at_least=3)
    projections: int = option(
        1000, "random projections per site of the dot; a fifth of them of the grating", at_least=10
    )
    max_units: int = option(8000, "units of a site that are kept where it is wider than there are images", at_least=1)


@dataclass(frozen=True, kw_only=True)
class DropoutSweepConfig(RunConfig):
    """Train networks that differ in dropout only, analyse each, and test the statements of Fig. 3 to 6."""

    papers: ClassVar[Mapping[str, Preset]] = {
        "mk": Preset(
            {"dropouts": "0,0.2,0.4,0.8", "projections": "1000", "max_units": "8000"},
            "the four dropouts, 1,000 projections and at most 8,000 units of Fig. 3 to 6; images and networks stay "
            "those of the other options",
        )
    }

    recipe: RecipeOptions = nested(RecipeOptions())
    analysis: AnalysisOptions = nested(AnalysisOptions())
    dropouts: tuple[float, ...] = option(
        (0.0, 0.2, 0.4, 0.8), "probabilities of dropping a unit, each in [0, 1)", at_least=0, below=1
    )
    seeds: int = option(3, "networks per dropout; those of one seed share their initial weights", at_least=1)
    jobs: int = option(
        0,
        "networks at once, each in a process with its share of the cores (0: one per core; 1 on a GPU)",
        at_least=0,
        identity=False,
    )


@dataclass(frozen=True, kw_only=True)
class ReportConfig(ProcessorConfig):
    """Figures 3 to 6 with intervals over seeds and the table of claims, from a finished (or unfinished) sweep."""

    sweep: str = option(help="folder written by `vision_codes dropout-sweep`")
