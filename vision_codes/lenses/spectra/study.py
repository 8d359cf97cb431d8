"""Eigenspectra by depth: how redundant is the code at each ReLU of a network? [MK section 2, Fig. 3 and 5]

One pass over the images feeds every site. A site no wider than there are images is accumulated as on the language side
(``eval.measures.spectra.moments``: exact, streaming, every unit). A wider one keeps rows instead, all of its units or,
beyond ``max_units``, a random choice (the paper subsampled to < 8000), and its spectrum comes exactly from the Gram
matrix of the images, which has the same non-zero eigenvalues. ``method`` says which.

Axis glossary: ``image``, ``width`` units of a site, ``index`` eigenvalues in falling order (1-based in fits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from eval.errors import UserError
from eval.measures.spectra.alpha_interval import ClusteredSpectrum, CorrectedExponent, correct_exponent
from eval.measures.spectra.document_moments import DocumentMoments
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.power_law import INDEX_RANGE, fit_power_law
from eval.measures.spectra.spectrum import Spectrum
from eval.progress import progress
from vision_codes.harvest import Injection, Site, harvest, sites
from vision_codes.lenses.spectra.consumers import MomentsConsumer, RowsConsumer
from vision_codes.resnet_vae import ResNetVAE

MAXIMUM_UNITS = 8000
GIGABYTE = 2**30
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


@dataclass(frozen=True)
class Spectra:
    """Rows of ``results.json`` (one per site), and the eigenvalues by site name."""

    rows: list[dict[str, Any]]
    eigenvalues: dict[str, np.ndarray] = field(default_factory=dict)


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
    names: Sequence[str] = (),
    *,
    index_range: tuple[int, int] = INDEX_RANGE,
    max_units: int = MAXIMUM_UNITS,
    max_memory_gb: float | None = None,
    correct: bool = True,
    batch_size: int = 100,
    inject: Mapping[str, Injection] | None = None,
    seed: int = 0,
) -> Spectra:
    """How steep is the eigenspectrum of every ReLU site over these images?

    Args:
        images: see ``vision_codes.harvest.harvest``.
        names: sites, all 17 where none is named.
        index_range: eigenvalue indices of the power-law fit, 1-based, inclusive.
        max_units: units kept of sites wider than there are images.
        max_memory_gb: refuse to start where more would be needed (predicted; without the network's own work).
        correct: also the bias-corrected exponent with its interval (seconds per site).
        inject: planted activations, see ``harvest``.

    Returns:
        ``Spectra``; a row holds ``alpha`` (as measured; below -1 is steeper than 1/index), ``alpha_corrected`` with
        ``alpha_ci`` (95%, for endless images) or null with the reason, ``r2``, ``residual`` (root mean square of log
        eigenvalues about the line), ``largest_step`` (how much further than the line one eigenvalue falls below the one
        before it, over indices 2..2 * last, in natural log) and its index, participation ratio, effective rank, the
        method, and images per unit.

    Raises:
        UserError: an unknown site, too much memory, activations that are not finite, images of other channels.
    """
    places = sites(model, names)
    needed = predicted_bytes(places, len(images), max_units) / GIGABYTE
    if max_memory_gb is not None and needed > max_memory_gb:
        raise UserError(
            f"expected at most {max_memory_gb:g} GB; {needed:.2f} GB would be needed; "
            "lower --max-units or --n-images, take fewer --sites, or raise --max-memory-gb"
        )
    consumers = [
        MomentsConsumer(site) if site.width <= len(images) else RowsConsumer(site, max_units, seed) for site in places
    ]
    harvest(model, images, consumers, batch_size=batch_size, inject=inject, label="spectra")
    found = Spectra([])
    for consumer in progress(consumers, label="fits", unit="site"):
        spectrum = consumer.spectrum()
        found.rows.append(describe_site(consumer, spectrum, index_range, correct=correct, seed=seed))
        found.eigenvalues[consumer.site.name] = spectrum.eigenvalues
    return found


def describe_site(
    consumer: MomentsConsumer | RowsConsumer,
    spectrum: Spectrum,
    index_range: tuple[int, int],
    *,
    correct: bool,
    seed: int,
) -> dict[str, Any]:
    """The row of one site; see ``spectra``."""
    site = consumer.site
    row: dict[str, Any] = {"site": site.name, "layer": site.layer, "method": consumer.method}
    report = spectrum.report(index_range)
    rename = {"n_tokens": "n_images", "tokens_per_width": "images_per_unit"}
    row |= {rename.get(key, key): value for key, value in report.items()}
    row["width"] = site.width
    row |= step_fields(spectrum.eigenvalues, index_range)
    if correct:
        corrected = _correct(consumer, spectrum, index_range, seed)
        fields = corrected.score.fields("alpha_corrected")
        row["alpha_ci"] = fields.pop("alpha_corrected_ci")
        row |= fields | {key: corrected.diagnostics.get(key) for key in ("alpha_bias", "dispersion")}
    return row


def _correct(
    consumer: MomentsConsumer | RowsConsumer, spectrum: Spectrum, index_range: tuple[int, int], seed: int
) -> CorrectedExponent:
    eigenvalues, n = spectrum.eigenvalues, spectrum.n_samples
    dispersion = consumer.dispersion(index_range) if len(eigenvalues) >= index_range[1] else 1.0
    sample = ClusteredSpectrum(eigenvalues, np.ones(n), np.zeros(len(eigenvalues)), dispersion)
    return correct_exponent(sample, index_range, seed=seed)


def step_fields(eigenvalues: Float[np.ndarray, " index"], index_range: tuple[int, int] = INDEX_RANGE) -> dict[str, Any]:
    """Does the spectrum fall in steps? Residual about the power law, and the largest drop beyond the line's own.

    The drop is log(lambda_i / lambda_{i+1}) - |alpha| log((i+1) / i) over i = 2 .. 2 * last - 1; an exact power law has
    0 everywhere. Undefined (null) where the fit is.
    """
    last = 2 * index_range[1]
    positive = int(np.sum(np.cumprod(np.asarray(eigenvalues) > 1e-12 * max(float(eigenvalues[0]), 1e-300))))
    if positive < index_range[1] + 1:
        reason = f"{positive} positive eigenvalues; the fit needs index {index_range[1]}"
        return {"residual": None, "largest_step": None, "largest_step_index": None, "largest_step_reason": reason}
    fit = fit_power_law(np.asarray(eigenvalues), index_range)
    index = np.arange(1, positive + 1)
    logs = np.log(eigenvalues[:positive])
    first, end = index_range
    line = fit.intercept + fit.exponent * np.log(index)
    residual = float(np.sqrt(np.mean((logs - line)[first - 1 : end] ** 2)))
    drops = -np.diff(logs) + fit.exponent * np.diff(np.log(index))
    within = drops[1 : min(last, positive) - 1]
    largest = int(np.argmax(within))
    return {"residual": residual, "largest_step": float(within[largest]), "largest_step_index": largest + 2}
