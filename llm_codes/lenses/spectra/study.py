"""Eigenspectra by depth: how redundant is the code, layer by layer?

One pass over the corpus keeps, per site, the exact covariance and the document statistics
(`eval.measures.spectra.moments`); the exponent, its correction and its interval follow
[MK section 2, Methods; corrections in `eval.measures`].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.measures.spectra.alpha_interval import corrected_exponent
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.spectrum import Spectrum
from eval.progress import progress
from llm_codes.corpus import Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.spectra.moments import SiteMomentsConsumer
from llm_codes.models import load_model
from llm_codes.sites import Site, resolve_sites

COLUMNS = ["site", "n_tokens", "n_documents", "alpha", "alpha_corrected", "alpha_ci", "r2", "participation_ratio"]
COLUMNS += ["top_direction_share"]
FIRST = (10, 50)


@dataclass(frozen=True)
class Spectra:
    """Rows of `results.json` (one per site), and the eigenvalues by site name (split-half beside them)."""

    rows: list[dict[str, Any]]
    eigenvalues: dict[str, np.ndarray] = field(default_factory=dict)
    split_half: dict[str, np.ndarray] = field(default_factory=dict)


def spectra(
    model: Any,
    corpus: Corpus,
    sites: Sequence[str] = ("resid_post", "mlp_post"),
    *,
    layers: str | Sequence[int] | None = None,
    index_range: tuple[int, int] = FIRST,
    with_position_0: bool = False,
    seed: int = 0,
    **harvest_options: Any,
) -> Spectra:
    """Eigenspectra of the activation covariance at every site, from one pass over the corpus.

    Args:
        model: a `Model`, a name, or an existing bridge or HookedTransformer.
        sites, layers: which; see `resolve_sites`.
        index_range: eigenvalue indices of the power-law fit, 1-based, inclusive.
        with_position_0: also report every number with the left-out positions put back.
        harvest_options: `batch_size`, `exclude_positions`, `max_memory_gb`, `checkpoint`.

    Returns:
        `Spectra`: rows hold `alpha` (as measured), `alpha_corrected` with `alpha_ci` (95%, over documents), or null
        and the reason.
    """
    model = load_model(model)
    places = resolve_sites(model, sites, layers)
    consumer = SiteMomentsConsumer(places, left_out=with_position_0)
    harvest(model, corpus, [consumer], label="spectra", **harvest_options)
    return describe(places, consumer, index_range, seed)


def describe(places: Sequence[Site], consumer: SiteMomentsConsumer, index_range: tuple[int, int], seed: int) -> Spectra:
    """Rows and eigenvalues from finished moments."""
    found = Spectra([])
    for place in progress(places, label="fits", unit="site"):
        moments = consumer.moments[place.hook]
        spectrum = Spectrum.of(moments)
        row = describe_site(place, moments, spectrum, index_range, seed)
        if consumer.left_out:
            whole = moments.copy().merge(consumer.left_out[place.hook])
            row["with_position_0"] = _short(Spectrum.of(whole, split_half=False), index_range)
        found.rows.append(row)
        found.eigenvalues[place.name] = spectrum.eigenvalues
        if spectrum.split_half is not None:
            found.split_half[place.name] = spectrum.split_half
    return found


def describe_site(
    place: Site, moments: Moments, spectrum: Spectrum, index_range: tuple[int, int], seed: int
) -> dict[str, Any]:
    """One row: where, how much data, alpha as measured and corrected, and everything beside it."""
    row: dict[str, Any] = {"site": place.name, "hook": place.hook, "kind": place.kind, "layer": place.layer}
    row |= spectrum.report(index_range) | {"n_documents": moments.n_documents}
    if row.get("alpha") is None:
        reason = row.get("alpha_reason", "the exponent is undefined")
        return row | {"alpha_corrected": None, "alpha_ci": None, "alpha_corrected_reason": reason}
    corrected = corrected_exponent(moments, index_range, seed=seed)
    fields = corrected.score.fields("alpha_corrected")
    row |= {"alpha_corrected": corrected.score.value, "alpha_ci": corrected.score.interval}
    if "alpha_corrected_reason" in fields:
        row["alpha_corrected_reason"] = fields["alpha_corrected_reason"]
    return row | {"correction": finite_only(corrected.diagnostics)}


def finite_only(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with non-finite numbers as null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in fields.items()
    }


def _short(spectrum: Spectrum, index_range: tuple[int, int]) -> dict[str, Any]:
    report = spectrum.report(index_range)
    return {key: report[key] for key in ("n_tokens", "alpha", "r2", "participation_ratio", "top_direction_share")}
