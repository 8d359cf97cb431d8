"""What a sweep holds: of each network its training, reconstructions and analysis; and the rows over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from eval.claims import Claim
from eval.result_json import noted
from eval.results import Result, result
from vision_codes.lenses.projections.results import SiteProjections
from vision_codes.lenses.spectra.results import SiteSpectrum
from vision_codes.lenses.training.results import Epoch, Quality
from vision_codes.vae_architecture import Architecture


@result
class Trained(Result):
    """The history of one network, and where its initial weights came from."""

    dropout: float
    seed: int
    history: tuple[Epoch, ...]
    initial_weights: str


@result
class Reconstructed(Result):
    """How good the held-out reconstructions of one network are."""

    dropout: float
    seed: int
    quality: Quality = noted(inline=True)


@result
class Analysed(Result):
    """The analysis of one network, by site; dropout `None`: the untrained network of the seed.

    spectra: over images; spectra_random, spectra_phase_scrambled: over images without structure (uncorrected). dot,
    grating: projections of a moving stimulus.
    """

    dropout: float | None
    seed: int
    spectra: tuple[SiteSpectrum, ...]
    spectra_random: tuple[SiteSpectrum, ...]
    spectra_phase_scrambled: tuple[SiteSpectrum, ...]
    dot: tuple[SiteProjections, ...]
    grating: tuple[SiteProjections, ...]


@result
class SiteOfNetwork(Result):
    """One site of one trained network: its spectrum, and the projections of the dot."""

    dropout: float
    seed: int
    spectrum: SiteSpectrum = noted(inline=True)
    dot: SiteProjections = noted()


@result
class TrainingRow(Result):
    """First and last validation loss of one network, whether it fell, and how good its reconstructions are."""

    dropout: float
    seed: int
    epochs: int
    validation_loss_first: float
    validation_loss_last: float
    fell: bool
    validation_reconstruction: float
    validation_kl: float
    quality: Quality | None = noted(inline=True)
    seconds: float = noted()


@result
class SweepResults(Result):
    """`results.json` of a sweep, provenance left out."""

    table: ClassVar[str] = "training"

    sites: tuple[SiteOfNetwork, ...]
    claims: tuple[Claim, ...]
    training: tuple[TrainingRow, ...]
    data: list[Mapping[str, Any]]
    n_spectra: int
    recipe: Mapping[str, Any]
    architecture: Architecture


@result
class ReportFile(Result):
    """`results.json` of the verb `report`."""

    claims: tuple[Claim, ...]
    sites: tuple[SiteOfNetwork, ...]
