"""Eigenspectra by depth: how redundant is the code at each ReLU of a network? [MK section 2, Fig. 3 and 5]

One pass over the images feeds every site. A site no wider than there are images is accumulated as on the language side
(``eval.measures.spectra.moments``: exact, streaming, every unit). A wider one keeps rows instead, all of its units or,
beyond ``max_units``, a random choice (the paper subsampled to < 8000), and its spectrum comes exactly from the Gram
matrix of the images, which has the same non-zero eigenvalues. ``method`` says which.

Axis glossary: ``image``, ``width`` units of a site, ``index`` eigenvalues in falling order (1-based in fits).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.measures.spectra.alpha_interval import ClusteredSpectrum, CorrectedExponent, correct_exponent
from eval.measures.spectra.document_moments import DocumentMoments
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.spectrum import Spectrum
from eval.options import chosen
from eval.progress import progress
from eval.scores import Score
from vision_codes.configs.spectra import SpectraOptions
from vision_codes.harvest import Injection, Site, harvest, sites
from vision_codes.lenses.spectra.consumers import MomentsConsumer, RowsConsumer
from vision_codes.lenses.spectra.results import SiteSpectrum, Spectra
from vision_codes.lenses.spectra.steps import step_of
from vision_codes.resnet_vae import ResNetVAE

GIGABYTE = 2**30
RENAMED = {"n_tokens": "n_images", "tokens_per_width": "images_per_unit"}
"""The report of a spectrum counts tokens; here they are images."""


def predicted_bytes(places: Sequence[Site], n_images: int, max_units: int) -> int:
    """Peak memory of the pass and of the largest eigendecomposition, in bytes (the network's own work not counted)."""
    kept, largest = 0, 0
    for site in places:
        if site.width <= n_images:
            kept += Moments.memory_bytes(site.width)
            largest = max(largest, Moments.working_bytes(site.width, 100))
        else:
            width = min(site.width, max_units)
            kept += 4 * n_images * width + DocumentMoments.bytes(width)
            largest = max(largest, 3 * 8 * n_images * width + 3 * 8 * n_images**2)
    return kept + largest


def spectra(
    model: ResNetVAE,
    images: np.ndarray,
    options: SpectraOptions | None = None,
    *,
    correct: bool = True,
    batch_size: int = 100,
    inject: Mapping[str, Injection] | None = None,
    seed: int = 0,
    **changes: Any,
) -> Spectra:
    """How steep is the eigenspectrum of every ReLU site over these images?

    Args:
        images: see ``vision_codes.harvest.harvest``.
        options: sites, fitted indices, limits; ``changes`` are single ones by name (``sites="relu"``, ``fit_last=40``).
        correct: also the bias-corrected exponent with its interval (seconds per site).
        inject: planted activations, see ``harvest``. seed: of the choice of units and of the correction.

    Returns:
        ``Spectra``; a number that is undefined has its reason beside it.

    Raises:
        UserError: an unknown site, too much memory, activations that are not finite, images of other channels.
    """
    options = chosen(SpectraOptions, options, changes)
    found = list(site_spectra(model, images, options, correct=correct, batch_size=batch_size, inject=inject, seed=seed))
    rows = tuple(row for row, _ in found)
    return Spectra(rows, {row.site: values for row, values in found}, options.index_range)


def site_spectra(
    model: ResNetVAE,
    images: np.ndarray,
    options: SpectraOptions,
    *,
    correct: bool = True,
    batch_size: int = 100,
    inject: Mapping[str, Injection] | None = None,
    seed: int = 0,
) -> Iterator[tuple[SiteSpectrum, np.ndarray]]:
    """Row and eigenvalues of each site in turn, after one pass over the images; see ``spectra``."""
    places = sites(model, options.sites)
    check_memory(places, len(images), options)
    consumers = [
        MomentsConsumer(site) if site.width <= len(images) else RowsConsumer(site, options.max_units, seed)
        for site in places
    ]
    harvest(model, images, consumers, batch_size=batch_size, inject=inject, label="spectra")
    for consumer in progress(consumers, label="fits", unit="site"):
        spectrum = consumer.spectrum()
        row = describe_site(consumer, spectrum, options.index_range, correct=correct, seed=seed)
        yield row, spectrum.eigenvalues


def check_memory(places: Sequence[Site], n_images: int, options: SpectraOptions) -> None:
    """Raise ``UserError`` where the pass would need more memory than ``max_memory_gb`` allows."""
    needed = predicted_bytes(places, n_images, options.max_units) / GIGABYTE
    if options.max_memory_gb is not None and needed > options.max_memory_gb:
        raise UserError(
            f"expected at most {options.max_memory_gb:g} GB; {needed:.2f} GB would be needed; "
            "lower --max-units or --images, take fewer --sites, or raise --max-memory-gb"
        )


def describe_site(
    consumer: MomentsConsumer | RowsConsumer,
    spectrum: Spectrum,
    index_range: tuple[int, int],
    *,
    correct: bool,
    seed: int,
) -> SiteSpectrum:
    """The row of one site; see ``spectra``."""
    site = consumer.site
    report = {RENAMED.get(key, key): value for key, value in spectrum.report(index_range).items()}
    report |= {"width": site.width, **step_of(spectrum.eigenvalues, index_range).to_json()}
    if correct:
        corrected = _correct(consumer, spectrum, index_range, seed)
        report |= corrected.score.fields("alpha_corrected")
        report["alpha_ci"] = report.pop("alpha_corrected_ci")
        report |= {key: corrected.diagnostics.get(key) for key in ("alpha_bias", "dispersion")}
    return SiteSpectrum.from_json({"site": site.name, "layer": site.layer, "method": consumer.method, **report})


def _correct(
    consumer: MomentsConsumer | RowsConsumer, spectrum: Spectrum, index_range: tuple[int, int], seed: int
) -> CorrectedExponent:
    eigenvalues, n = spectrum.eigenvalues, spectrum.n_samples
    if n < 3:
        return CorrectedExponent(Score.undefined(f"{n} images; a spectrum needs at least 3", n), {})
    dispersion = consumer.dispersion(index_range) if len(eigenvalues) >= index_range[1] else 1.0
    sample = ClusteredSpectrum(eigenvalues, np.ones(n), np.zeros(len(eigenvalues)), dispersion)
    return correct_exponent(sample, index_range, seed=seed)
