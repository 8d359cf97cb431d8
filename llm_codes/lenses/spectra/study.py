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
from llm_codes.activation_source import ActivationSource, open_source, sites_of
from llm_codes.configs.inputs import HarvestOptions, lens_options
from llm_codes.configs.spectra import SpectraOptions
from llm_codes.corpus import Corpus
from llm_codes.harvest import Checkpoint, harvest, pass_bytes
from llm_codes.lenses.spectra.moments import SiteMomentsConsumer
from llm_codes.lenses.spectra.rows import SiteSpectrum, Spectra, WithPositionZero
from llm_codes.planned_passes import PlannedPass, plan_passes, say_passes
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
    """Eigenspectra of the activation covariance at every site, from one pass over the corpus (several, by layers, where
    one needs more than `max_memory_gb`: the same numbers).

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
    planned = planned_passes(source, places, asked, corpus.context, walk)
    say_passes(planned, walk.max_memory_gb, "spectra")
    parts = []
    for group in planned:
        consumer = SiteMomentsConsumer(group.sites, left_out=asked.with_position_0)
        where = checkpoint and (checkpoint if len(planned) == 1 else checkpoint.of_part(group.name))
        harvest(source, corpus, [consumer], walk, label="spectra", checkpoint=where)
        parts.append(describe(group.sites, consumer, asked.index_range, seed))
        del consumer  # before the next pass takes its own
    found = joined(parts, places)
    config = {"fit_first": asked.fit_first, "fit_last": asked.fit_last, "context": corpus.context, "seed": seed}
    config |= {"exclude_positions": walk.exclude_positions}
    return replace(found, provenance={"model": source.provenance(), "corpus": corpus.describe(), "config": config})


def planned_passes(
    source: ActivationSource, places: Sequence[Site], asked: SpectraOptions, context: int, walk: HarvestOptions
) -> list[PlannedPass]:
    """The passes over the text that keep the moments of these sites within `max_memory_gb` (one, where they fit)."""

    def size_of(sites: Sequence[Site]) -> int:
        kept = SiteMomentsConsumer.bytes_of(sites, left_out=asked.with_position_0)
        return pass_bytes(source, context, max(site.width for site in sites), kept, walk.batch_size)

    return plan_passes(places, size_of, walk.max_memory_gb)


def joined(parts: Sequence[Spectra], places: Sequence[Site]) -> Spectra:
    """The spectra of several passes as one, in the order of the sites."""
    order = {place.name: number for number, place in enumerate(places)}
    rows = sorted((row for part in parts for row in part.sites), key=lambda row: order[row.site])
    names = [row.site for row in rows]
    eigenvalues = {name: value for part in parts for name, value in part.eigenvalues.items()}
    halves = {name: value for part in parts for name, value in part.split_half.items()}
    return Spectra(
        tuple(rows),
        {name: eigenvalues[name] for name in names},
        {name: halves[name] for name in names if name in halves},
        parts[0].index_range,
    )


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
