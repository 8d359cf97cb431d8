"""Eigenspectra by depth: how redundant is the code, layer by layer?

One pass over the corpus keeps, per site, the exact covariance and the document statistics
(`eval.measures.spectra.moments`); the exponent, its correction and its interval follow
[MK section 2, Methods; corrections in `eval.measures`].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.measures.spectra.document_interval import exponent_over_documents
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.spectrum import Spectrum
from eval.measures.threads import threads_for
from eval.progress import progress
from eval.scores import Score
from llm_codes.activation_source import open_source, sites_of
from llm_codes.configs.inputs import HarvestOptions, lens_options
from llm_codes.configs.spectra import SpectraOptions
from llm_codes.corpus import Corpus
from llm_codes.harvest import Checkpoint, harvest
from llm_codes.lenses.spectra.moments import SiteMomentsConsumer
from llm_codes.lenses.spectra.rows import SiteSpectrum, Spectra, WithPositionZero
from llm_codes.sites import Site


def spectra(
    model: Any,
    corpus: Corpus,
    options: SpectraOptions | None = None,
    *,
    harvest_options: HarvestOptions | None = None,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    **changes: Any,
) -> Spectra:
    """Eigenspectra of the activation covariance at every site, from one pass over the corpus.

        spectra(model, corpus, sites="resid_post", layers="2:4")

    Args:
        model: a `Model`, a name, an existing bridge or HookedTransformer, or an `ActivationStore`. corpus: windows of
            `load_corpus`; of a store its own.
        options, harvest_options: which sites and which fit; how the text is walked. Defaults: those of the command.
        changes: single options by name, of either (`fit_first=5`, `batch_size=4`, `exclude_positions=0`).
        seed: of the correction's simulations. checkpoint: where a killed pass continues.

    Returns:
        `Spectra`: rows hold `alpha` (as measured) and `alpha_corrected` (a `Score`: 95%, over documents; undefined
        with its reason).

    Raises:
        UserError: an unknown option or site, with the nearest; see `harvest`.
    """
    asked, walk = lens_options(SpectraOptions, options, harvest_options, changes)
    source = open_source(model)
    places = sites_of(source, asked.sites, asked.layers)
    consumer = SiteMomentsConsumer(places, left_out=asked.with_position_0)
    harvest(source, corpus, [consumer], walk, label="spectra", checkpoint=checkpoint)
    found = describe(places, consumer, asked.index_range, seed)
    config = {"fit_first": asked.fit_first, "fit_last": asked.fit_last, "context": corpus.context, "seed": seed}
    config |= {"exclude_positions": walk.exclude_positions}
    return replace(found, provenance={"model": source.provenance(), "corpus": corpus.describe(), "config": config})


def describe(places: Sequence[Site], consumer: SiteMomentsConsumer, index_range: tuple[int, int], seed: int) -> Spectra:
    """Rows and eigenvalues from finished moments."""
    consumer.finish()
    rows, eigenvalues, split_half = [], {}, {}
    for place in progress(places, label="fits", unit="site"):
        moments = consumer.moments[place.hook]
        with threads_for(place.width):
            spectrum = Spectrum.of(moments)
            row = describe_site(place, moments, spectrum, index_range, seed)
        if consumer.left_out:
            whole = moments.copy().merge(consumer.left_out[place.hook])
            row = replace(row, with_position_0=_short(Spectrum.of(whole, split_half=False), index_range))
        rows.append(row)
        eigenvalues[place.name] = spectrum.eigenvalues
        if spectrum.split_half is not None:
            split_half[place.name] = spectrum.split_half
    return Spectra(tuple(rows), eigenvalues, split_half, index_range)


def describe_site(
    place: Site, moments: Moments, spectrum: Spectrum, index_range: tuple[int, int], seed: int
) -> SiteSpectrum:
    """One row: where, how much data, alpha as measured and corrected, and everything beside it."""
    where: dict[str, Any] = {"site": place.name, "hook": place.hook, "kind": place.kind, "layer": place.layer}
    fields: dict[str, Any] = where | spectrum.report(index_range) | {"n_documents": moments.n_documents}
    if fields["alpha"] is None:
        return SiteSpectrum(**fields, alpha_corrected=Score.undefined(fields["alpha_reason"], moments.n_documents))
    corrected = exponent_over_documents(moments, index_range, seed=seed)
    halves = None if corrected.splits is None else corrected.splits.halves.tolist()
    diagnostics = _finite_only(corrected.diagnostics)
    return SiteSpectrum(**fields, alpha_corrected=corrected.score, correction=diagnostics, document_halves=halves)


def _finite_only(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with non-finite numbers as null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in fields.items()
    }


def _short(spectrum: Spectrum, index_range: tuple[int, int]) -> WithPositionZero:
    report = spectrum.report(index_range)
    names = ("n_tokens", "alpha", "r2", "participation_ratio", "top_direction_share")
    return WithPositionZero(**{name: report[name] for name in names})
