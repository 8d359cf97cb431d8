"""`vision_codes spectra` and `eigenfilters`: every setting, its default, its range, its help. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, nested, option
from vision_codes.configs.images import SITES_HELP, ImagesOptions, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class SpectraOptions(Options):
    """Which spectra are taken, and over which eigenvalues the exponent is fitted."""

    sites: tuple[str, ...] = option((), SITES_HELP)
    fit_first: int = option(10, "first eigenvalue index of the fit, 1-based", at_least=1, formerly=("first",))
    fit_last: int = option(50, "last eigenvalue index of the fit, inclusive", at_least=2, formerly=("last",))
    max_units: int = option(
        8000, "units of a site that are kept where it is wider than there are images (random choice)", at_least=1
    )
    max_memory_gb: float | None = option(
        8.0, "refuse to start above this predicted peak (none: no limit)", above=0, identity=False
    )

    @property
    def index_range(self) -> tuple[int, int]:
        return self.fit_first, self.fit_last

    def validate(self) -> None:
        if self.fit_last <= self.fit_first:
            raise UserError(
                f"expected --fit-last above --fit-first {self.fit_first}; got {self.fit_last}; widen the range"
            )


@dataclass(frozen=True, kw_only=True)
class SpectraConfig(NetworkConfig):
    """Eigenspectra of a trained network at its ReLU sites, with the power-law exponent and its interval."""

    inputs: ImagesOptions = nested(ImagesOptions())
    spectra: SpectraOptions = nested(SpectraOptions())


@dataclass(frozen=True, kw_only=True)
class EigenfiltersOptions(Options):
    """Which eigenvectors are drawn."""

    sites: tuple[str, ...] = option((), SITES_HELP)
    filters: int = option(
        6, "eigenvectors per site (fewer where a site has fewer)", at_least=1, formerly=("n_filters",)
    )


@dataclass(frozen=True, kw_only=True)
class EigenfiltersConfig(NetworkConfig):
    """The leading eigenvectors of every site, drawn in its own space and as filters on pixels (Fig. 3d)."""

    inputs: ImagesOptions = nested(ImagesOptions(images=1000))
    eigenfilters: EigenfiltersOptions = nested(EigenfiltersOptions())
