"""What would the power-law exponent be with endless data? Bias-corrected alpha with a calibrated 95% interval.

The measured alpha is biased: towards 0 for few independent tokens, away from 0 for few documents (parametric
indirect inference covers where standard errors and percentile bootstraps do not). So we simulate what the same number
of documents, of the same lengths and with the same share of variance in common, would have measured for a known
spectrum, and look for the spectrum that reproduces the measurement:

    Phase 1  read from the stream: sample eigenvalues, document lengths, the share of each direction's variance common
             to a document, and how much more document groups scatter than that explains (``document_moments``).
    Phase 2  find the population spectrum that reproduces the measured one, by linearised indirect inference
             (``spectrum_inference``); alpha_corrected is its slope over the fit range.
    Phase 3  the slope's standard deviation, from the simulated data sets, gives the interval.

Sites wider than ``SIMULATED_WIDTH`` are simulated at their leading ``TRUNCATED_WIDTH`` directions; the rest lifts them
by its (nearly deterministic) share of noise variance.

What it assumes: Gaussian tokens, and document means that vary along the same directions as the tokens within a
document. Heavier tails and dependent neighbours enter through the dispersion, as fewer documents.

Axis glossary: ``index`` eigenvalues in falling order, ``document`` documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from eval.measures.spectra.document_groups import DocumentSplits
from eval.measures.spectra.document_moments import SKETCH_WIDTH
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.power_law import INDEX_RANGE, power_law_exponent
from eval.measures.spectra.spectrum_inference import Experiment, infer_spectrum
from eval.measures.statistics.resampling import MINIMUM_GROUPS
from eval.scores import Score

SIMULATED_WIDTH = 256
TRUNCATED_WIDTH = 200
WARN_TOKENS_PER_WIDTH = 16
MINIMUM_TOKENS_PER_INDEX = 3
"""Fewer tokens than this times the last fitted index leave too little to correct."""
TOKENS_PER_DIRECTION = 12
"""With clustered tokens, fewer than this per measured direction leave the shared share too uncertain to correct by."""
LEAST_SENSITIVITY = 0.25
"""Below this the sample's exponent hardly follows the population's, and the correction would be mostly its model."""

LARGEST_CORRECTION = 0.5
"""A larger correction than any that was checked against planted truth says the model does not describe these data."""


@dataclass(frozen=True)
class ClusteredSpectrum:
    """All that the correction needs to know of a data set.

    eigenvalues: of the sample covariance (divisor N - 1), falling.
    lengths: tokens per document.
    shared: share of each direction's variance that is common to a document's tokens, in [0, 1).
    dispersion: variance of document-group covariances over what the model predicts; 1 for the model itself, above 1
        when documents differ by more than their means or tokens depend on their neighbours. The simulation then uses
        ``documents / dispersion`` documents.
    """

    eigenvalues: Float[np.ndarray, " index"]
    lengths: Float[np.ndarray, " document"]
    shared: Float[np.ndarray, " index"]
    dispersion: float = 1.0

    @property
    def n_tokens(self) -> int:
        return int(round(float(self.lengths.sum())))

    @property
    def shared_fraction(self) -> float:
        """Share of the total variance that the tokens of a document have in common (intraclass correlation)."""
        return float(self.eigenvalues @ self.shared / self.eigenvalues.sum())


@dataclass(frozen=True)
class CorrectedExponent:
    """alpha_corrected with its interval, and what the correction rests on (``diagnostics``: JSON numbers or text).

    splits: exponents of random halves of the documents, where the interval is over documents.
    """

    score: Score
    diagnostics: dict[str, float | int | str | None] = field(default_factory=dict)
    splits: DocumentSplits | None = None


def correct_exponent(
    sample: ClusteredSpectrum,
    index_range: tuple[int, int] = INDEX_RANGE,
    *,
    confidence: float = 0.95,
    minimum_documents: int = MINIMUM_GROUPS,
    seed: int = 0,
) -> CorrectedExponent:
    """Which alpha has the population spectrum, and how sure is that?

    Args:
        sample: what was measured.
        index_range: fit range, 1-based, inclusive.
        confidence: nominal coverage of the interval.
        minimum_documents: with fewer documents the score is undefined.
        seed: of the simulations; the same seed gives the same result.

    Returns:
        Score (``n`` documents), undefined with its reason for a site narrower than the fit range, too few tokens or
        documents, or eigenvalues that vanish inside the range. ``diagnostics``: n_tokens, n_documents,
        tokens_per_width (N/d), shared_fraction, dispersion, effective_documents, alpha_bias (measured - corrected),
        alpha_sd, and ``warning`` (text or None).
    """
    last = index_range[1]
    diagnostics = _diagnose(sample)
    reason = _reason_against(sample, last, minimum_documents)
    if reason:
        return CorrectedExponent(Score.undefined(reason, len(sample.lengths)), diagnostics)
    spectrum, width = sample.eigenvalues, len(sample.eigenvalues)
    kept = width if width <= SIMULATED_WIDTH else max(TRUNCATED_WIDTH, 3 * last)
    trace = float(spectrum.sum()) if kept < width else None
    experiment = Experiment(effective_lengths(sample), sample.shared[:kept], index_range, seed, trace)
    inferred = infer_spectrum(np.log(np.maximum(spectrum[:kept], 1e-14 * spectrum[0])), experiment)
    if inferred.sensitivity < LEAST_SENSITIVITY:
        reason = f"the measured exponent follows the true one by only {inferred.sensitivity:.2f} for 1; read more text"
        return CorrectedExponent(Score.undefined(reason, len(sample.lengths)), diagnostics)
    measured = float(power_law_exponent(sample.eigenvalues, index_range))
    if abs(measured - inferred.slope) > LARGEST_CORRECTION:
        reason = (
            f"the correction from {measured:.2f} to {inferred.slope:.2f} is beyond what was checked; read more text"
        )
        return CorrectedExponent(Score.undefined(reason, len(sample.lengths)), diagnostics)
    half = float(norm.ppf(0.5 + confidence / 2)) * inferred.sd
    score = Score(inferred.slope, inferred.slope - half, inferred.slope + half, len(sample.lengths))
    return CorrectedExponent(score, diagnostics | {"alpha_bias": measured - inferred.slope, "alpha_sd": inferred.sd})


def effective_lengths(sample: ClusteredSpectrum) -> np.ndarray:
    """Document lengths for the simulation: all of them, or evenly spaced quantiles when documents count for less."""
    if sample.dispersion <= 1:
        return sample.lengths
    n = max(2, int(round(len(sample.lengths) / sample.dispersion)))
    return np.quantile(sample.lengths, (np.arange(n) + 0.5) / n)


def _reason_against(sample: ClusteredSpectrum, last: int, minimum_documents: int) -> str | None:
    documents, width = len(sample.lengths), len(sample.eigenvalues)
    if width < last:
        return f"the site is {width} wide; the fit needs index {last}"
    if sample.n_tokens < MINIMUM_TOKENS_PER_INDEX * last:
        return f"{sample.n_tokens} tokens; the fit to index {last} needs at least {MINIMUM_TOKENS_PER_INDEX * last}"
    if sample.eigenvalues[last - 1] <= 1e-12 * sample.eigenvalues[0]:
        return f"eigenvalue {last} vanishes: the activations span fewer directions than the fit needs"
    directions = min(width, SKETCH_WIDTH)
    excess = sample.shared_fraction * float((sample.lengths**2).sum() / sample.lengths.sum())
    if excess > 1 and sample.n_tokens - documents < TOKENS_PER_DIRECTION * directions:
        return (
            f"{sample.n_tokens} tokens in {documents} documents that share {sample.shared_fraction:.0%} of their "
            f"variance; the correction for clustered tokens needs at least {TOKENS_PER_DIRECTION * directions}"
        )
    if documents < minimum_documents:
        return f"{documents} documents; the correction resamples documents and needs at least {minimum_documents}"
    if documents / max(sample.dispersion, 1) < MINIMUM_GROUPS / 2:
        return f"{documents} documents that differ so much that they count as {documents / sample.dispersion:.0f}"
    return None


def _diagnose(sample: ClusteredSpectrum) -> dict[str, float | int | str | None]:
    ratio = sample.n_tokens / len(sample.eigenvalues)
    warning = None
    if ratio < WARN_TOKENS_PER_WIDTH:
        warning = (
            f"N/d = {ratio:.1f}: the measured alpha is biased (below .02 from N/d of 4 at alpha -1, 16 at -.7); "
            "read alpha_corrected"
        )
    return {
        "n_tokens": sample.n_tokens,
        "n_documents": len(sample.lengths),
        "tokens_per_width": ratio,
        "shared_fraction": sample.shared_fraction,
        "dispersion": sample.dispersion,
        "effective_documents": len(sample.lengths) / max(sample.dispersion, 1.0),
        "warning": warning,
    }


def corrected_exponent(
    moments: Moments, index_range: tuple[int, int] = INDEX_RANGE, *, seed: int = 0, **options
) -> CorrectedExponent:
    """``correct_exponent`` of a stream, from its eigenvalues, document lengths, shared variance and dispersion."""
    shared = moments.documents.shared_profile(moments.width)
    dispersion = moments.documents.dispersion(shared, index_range) if moments.width >= index_range[1] else 1.0
    sample = ClusteredSpectrum(moments.eigenvalues(), moments.documents.document_lengths(), shared, dispersion)
    return correct_exponent(sample, index_range, seed=seed, **options)
