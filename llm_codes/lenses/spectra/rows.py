"""Results of the spectra: one row per site, what a run writes, and what two runs differ by."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.claims import Claim
from eval.result_json import measured, noted
from eval.results import Result, result
from eval.scores import Score

COLUMNS = ("site", "n_tokens", "n_documents", "alpha", "alpha_corrected", "alpha_ci", "r2", "participation_ratio")
COLUMNS += ("top_direction_share",)


@result
class WithPositionZero(Result):
    """The same site with the left-out positions put back."""

    n_tokens: int
    alpha: float | None
    r2: float | None
    participation_ratio: float | None
    top_direction_share: float | None


@result
class SiteSpectrum(Result):
    """The spectrum of one site.

    site, hook, kind, layer, width: where. n_tokens, n_documents: behind it; tokens_per_width: N/d.
    alpha: exponent as measured, `None` with `alpha_reason`; intercept: of its line, in log eigenvalue.
    alpha_corrected: exponent with endless data, with its 95% interval over documents (`alpha_ci` in JSON).
    r2, curvature, range_sensitivity, broken_power_law: how well a power law describes the fit range.
    top_direction_share, participation_ratio, effective_rank, effective_capacity: see `Spectrum`.
    split_half_alpha: exponent of one half's directions on the other half. correction: what the correction rests on.
    document_halves: exponents of random halves of the documents [split, half]; runs on the same text are compared by
    them.
    """

    site: str
    hook: str
    kind: str
    layer: int
    width: int
    n_tokens: int
    tokens_per_width: float
    n_documents: int
    top_direction_share: float | None
    participation_ratio: float | None
    effective_rank: float | None
    alpha: float | None
    r2: float | None
    curvature: float | None
    range_sensitivity: dict[str, float] | None
    effective_capacity: dict[str, float] | None
    alpha_corrected: Score = measured(ci="alpha_ci", n=None)
    broken_power_law: dict[str, Any] | None = None
    intercept: float | None = noted(default=None, when_set=True)
    split_half_alpha: float | None = noted(default=None, when_set=True)
    alpha_reason: str | None = noted(default=None, when_set=True)
    correction: dict[str, Any] | None = noted(default=None, when_set=True)
    document_halves: list[list[float]] | None = noted(default=None, when_set=True)
    with_position_0: WithPositionZero | None = noted(default=None, when_set=True)


@result
class Spectra(Result):
    """Spectra of one model: a row per site, the eigenvalues by site name (split-half beside them), the fit range.

    provenance: model, corpus and options behind it; what `compare` asks whether two results can be compared.
    """

    table = "sites"
    columns = COLUMNS
    drawing = "llm_codes.lenses.spectra.figures:plot"

    sites: tuple[SiteSpectrum, ...]
    eigenvalues: dict[str, np.ndarray]
    split_half: dict[str, np.ndarray]
    index_range: tuple[int, int]
    provenance: dict[str, Any] | None = noted(default=None, when_set=True)

    @property
    def kinds(self) -> list[str]:
        """Kinds of site, in order of the rows."""
        return list(dict.fromkeys(row.kind for row in self.sites))

    def of_kind(self, kind: str) -> list[SiteSpectrum]:
        return [row for row in self.sites if row.kind == kind]


@result
class SpectraResults(Result):
    """`results.json` of `spectra`: the model's sites, the untrained control's, and the source's claims judged."""

    table = "sites"
    columns = COLUMNS

    sites: tuple[SiteSpectrum, ...]
    control_sites: tuple[SiteSpectrum, ...] | None
    claims: tuple[Claim, ...]


@result
class ComparedSite(Result):
    """One site of run A beside the site of another run at the nearest relative depth; the difference is B - A.

    run: letter of the other run. p: two-sided; p_holm: corrected over all rows [Holm]. paired: both runs read the same
    tokens, and the difference is over halves of the same documents; else the two errors are taken as independent.
    """

    kind: str
    layer_a: int
    layer_b: int
    depth: float
    alpha_a: float | None
    alpha_b: float | None
    difference: Score
    p: float | None
    p_holm: float | None = noted(default=None, when_set=True)
    run: str = "B"
    paired: bool = False


@result
class ComparedAlpha(Result):
    """One site of one run: its relative depth (0 the first block, 1 the last) and its exponent."""

    kind: str
    layer: int
    depth: float
    alpha_corrected: Score = measured(ci="alpha_ci", n=None)


@result
class ComparedRun(Result):
    """One run of a comparison, under its letter, in the order given."""

    letter: str
    label: str
    sites: tuple[ComparedAlpha, ...]


@result
class Comparison(Result):
    """`results.json` of `compare`: every run beside the first, and the runs themselves."""

    table = "comparison"
    columns = (
        "run",
        "kind",
        "layer_a",
        "layer_b",
        "alpha_a",
        "alpha_b",
        "difference",
        "difference_ci",
        "p_holm",
        "paired",
    )
    drawing = "llm_codes.lenses.spectra.compared_figures:plot"

    comparison: tuple[ComparedSite, ...]
    runs: tuple[ComparedRun, ...] = ()
