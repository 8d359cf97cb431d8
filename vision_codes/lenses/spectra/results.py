"""What the spectra of a network hold: one row per ReLU site, as `results.json` documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from eval.result_json import measured, noted
from eval.results import Result, result
from eval.scores import Score

COLUMNS = [
    "site",
    "layer",
    "width",
    "alpha",
    "alpha_corrected",
    "alpha_ci",
    "r2",
    "participation_ratio",
    "largest_step",
]


@result
class SiteSpectrum(Result):
    """The eigenspectrum of one ReLU site.

    layer: depth, 1 to 17. method: how it was computed. images_per_unit: fewer than 4 bias `alpha` towards 0.
    alpha: exponent as measured over the fitted indices; below -1 is steeper than 1 / index. alpha_corrected: what
    endless images would show, with its 95% interval (`alpha_ci`); alpha_bias: the correction; dispersion: of images.
    residual: root mean square of log eigenvalues about the line. largest_step: how much further than the line one
    eigenvalue falls below the one before it (natural log, over indices 2 to twice the last), and at which index.
    """

    site: str
    layer: int
    method: str
    width: int
    n_images: int
    images_per_unit: float
    top_direction_share: float | None
    participation_ratio: float | None
    effective_rank: float | None
    alpha: Score = measured(ci=None, n=None)
    intercept: float | None = noted(default=None, when_set=True)
    r2: float | None = None
    curvature: Any = None
    range_sensitivity: Mapping[str, float] | None = None
    broken_power_law: Mapping[str, Any] | None = None
    effective_capacity: Mapping[str, float] | None = None
    residual: float | None = None
    largest_step: float | None = None
    largest_step_index: int | None = None
    largest_step_reason: str | None = noted(default=None, when_set=True)
    alpha_corrected: Score | None = measured(default=None, ci="alpha_ci", when_set=True)
    alpha_bias: float | None = None
    dispersion: float | None = None

    def reasons(self) -> list[str]:
        """Why numbers of this row are undefined, each once."""
        scores = (self.alpha, self.alpha_corrected)
        found = [score.reason or score.interval_reason for score in scores if score is not None]
        return list(dict.fromkeys(reason for reason in (*found, self.largest_step_reason) if reason))


@result
class Spectra(Result):
    """Spectra of a network, site by site.

    sites: one row per ReLU site. eigenvalues: of every site by name, falling; kept as arrays, not in `results.json`.
    """

    table: ClassVar[str] = "sites"
    columns: ClassVar[list[str]] = COLUMNS
    drawing: ClassVar[str] = "vision_codes.lenses.spectra.figures:spectra_figure"

    sites: tuple[SiteSpectrum, ...]
    eigenvalues: Mapping[str, np.ndarray]
    index_range: tuple[int, int] = (10, 50)


@result
class SiteFilters(Result):
    """The leading eigenvectors of one site in numbers; undefined for fewer than 3 images, with the reason.

    share: of the variance over images, falling. linear_r2: share of each coefficient's variance that its own pixel
    filter explains over these images (in-sample).
    """

    site: str
    layer: int
    share: list[float] | None
    linear_r2: list[float] | None
    n_filters: int
    reason: str | None = noted(default=None, when_set=True)


@result
class SpectraFile(Result):
    """`results.json` of the verb `spectra`."""

    sites: tuple[SiteSpectrum, ...]


@result
class EigenfiltersFile(Result):
    """`results.json` of the verb `eigenfilters`."""

    sites: tuple[SiteFilters, ...]
