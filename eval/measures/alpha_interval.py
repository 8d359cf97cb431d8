"""What would the power-law exponent be with endless data? Bias-corrected alpha with a calibrated 95% interval.

The measured alpha is biased: towards 0 for few independent tokens, away from 0 for few documents (SCIENCE: parametric
indirect inference covers where standard errors and percentile bootstraps do not). So we simulate what the same number
of documents, of the same lengths and with the same share of variance in common, would have measured for a known
spectrum, and look for the spectrum that reproduces the measurement:

    Phase 1  start at the measured spectrum; simulate; move each log eigenvalue by (measured - simulated); repeat.
             This removes the bias without assuming an exact power law.
    Phase 2  tilt the spectrum by i^tau; with common random numbers, find the tau at which the simulated alpha is the
             measured one:  alpha_corrected = alpha(spectrum) + tau.  [indirect inference, Gourieroux et al. 1993]
    Phase 3  sd of the simulated alpha (a parametric bootstrap over documents), divided by d alpha / d tau, gives the
             interval; the Monte Carlo error of phase 2 is part of it.

Wide sites are simulated at ``SIMULATED_WIDTH`` directions; the tail is pooled so that its total variance stays.

Axis glossary: ``index`` eigenvalues in falling order, ``document`` documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from eval.measures.clustered_wishart import simulate_eigenvalues
from eval.measures.moments import Moments
from eval.measures.power_law import INDEX_RANGE, power_law_exponent
from eval.measures.resampling import MINIMUM_GROUPS
from eval.scores import Score

SIMULATED_WIDTH = 256
SHAPE_ROUNDS = 4
SHAPE_DRAWS = 8
FINAL_DRAWS = 48
TILT = 0.1
RELIABLE = 0.75
"""Share of the measurable eigenvalues whose logarithms steer phase 1; the smallest ones are mostly noise."""


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
    """alpha_corrected with its interval, and what the correction rests on (``diagnostics``: JSON numbers or text)."""

    score: Score
    diagnostics: dict[str, float | int | str | None] = field(default_factory=dict)


def correct_exponent(
    sample: ClusteredSpectrum,
    index_range: tuple[int, int] = INDEX_RANGE,
    *,
    confidence: float = 0.95,
    minimum_documents: int = MINIMUM_GROUPS,
    seed: int = 0,
) -> CorrectedExponent:
    """Which alpha has the population spectrum, and how sure is that?"""
    last = index_range[1]
    diagnostics = _diagnose(sample, index_range)
    reason = _reason_against(sample, last, minimum_documents)
    if reason:
        return CorrectedExponent(Score.undefined(reason, len(sample.lengths)), diagnostics)
    measured = float(power_law_exponent(sample.eigenvalues, index_range))
    lengths = effective_lengths(sample, seed)
    spectrum, shared = pooled(sample.eigenvalues, sample.shared, last)
    target = np.log(spectrum)
    model = population_shape(target, shared, lengths, last, seed)
    alphas, slope = _tilted(model, shared, lengths, index_range, seed)
    own = float(power_law_exponent(model, index_range))
    corrected = own + (measured - alphas.mean()) / slope
    spread = alphas.std(ddof=1) / slope * np.sqrt(1 + 1 / len(alphas))
    half = norm.ppf(0.5 + confidence / 2) * spread
    score = Score(corrected, corrected - half, corrected + half, len(sample.lengths))
    diagnostics |= {"alpha_bias": measured - corrected, "alpha_slope": slope, "alpha_sd": float(spread)}
    return CorrectedExponent(score, diagnostics)


def population_shape(
    target: Float[np.ndarray, " index"], shared: np.ndarray, lengths: np.ndarray, last: int, seed: int
) -> Float[np.ndarray, " index"]:
    """Phase 1: the broken power law whose simulated sample spectrum has the measured logarithms ``target``.

    Each round moves the log eigenvalues at the knots by the least-squares fit of (measured - simulated).
    """
    total = np.exp(target).sum()
    reliable = np.arange(len(target)) < max(last, RELIABLE * min(len(target), lengths.sum()))
    basis = knot_basis(len(target), last)
    fit = np.linalg.pinv(basis[reliable])
    log_model = basis @ (fit @ target[reliable])
    for round_ in range(SHAPE_ROUNDS):
        draws = simulate_eigenvalues(np.exp(log_model), shared, lengths, SHAPE_DRAWS, seed + 1 + round_)
        shift = target - np.log(np.maximum(draws, 1e-12 * total)).mean(0)
        log_model = log_model + basis @ (fit @ shift[reliable])
        log_model = np.minimum.accumulate(log_model)
        log_model += np.log(total / np.exp(log_model).sum())
    return np.exp(log_model)


def knot_basis(width: int, last: int) -> Float[np.ndarray, "index knot"]:
    """Hat functions of log index: any combination is a continuous broken power law with these knots."""
    knots = [k for k in (1, 2, 4, last // 5, last) if k < width] + [width]
    log_knots = np.log(np.array(sorted(set(knots))))
    return np.column_stack(
        [np.interp(np.log(np.arange(1, width + 1)), log_knots, row) for row in np.eye(len(log_knots))]
    )


def _tilted(model, shared, lengths, index_range, seed) -> tuple[np.ndarray, float]:
    """Phase 2: simulated exponents at tau = 0, and d alpha / d tau from the same noise at +-TILT."""
    index = np.log(np.arange(1, len(model) + 1))
    seed += 100
    at = [
        power_law_exponent(simulate_eigenvalues(model * np.exp(t * index), shared, lengths, n, seed), index_range)
        for t, n in ((0.0, FINAL_DRAWS), (-TILT, 12), (TILT, 12))
    ]
    return at[0], float(np.mean(at[2] - at[1]) / (2 * TILT))


def pooled(eigenvalues: np.ndarray, shared: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """At most ``SIMULATED_WIDTH`` eigenvalues: the tail is pooled into equal runs' sums, so the trace stays."""
    width = max(SIMULATED_WIDTH, 4 * last)
    if len(eigenvalues) <= width:
        return eigenvalues, shared
    head = width - width // 3
    runs = np.array_split(np.arange(head, len(eigenvalues)), width - head)
    sums = np.array([eigenvalues[run].sum() for run in runs])
    means = np.array([shared[run].mean() for run in runs])
    return np.concatenate([eigenvalues[:head], sums]), np.concatenate([shared[:head], means])


def effective_lengths(sample: ClusteredSpectrum, seed: int) -> np.ndarray:
    """Document lengths for the simulation: all of them, or evenly spaced quantiles when documents count for less."""
    if sample.dispersion <= 1:
        return sample.lengths
    n = max(2, int(round(len(sample.lengths) / sample.dispersion)))
    return np.quantile(sample.lengths, (np.arange(n) + 0.5) / n)


def _reason_against(sample: ClusteredSpectrum, last: int, minimum_documents: int) -> str | None:
    documents, width = len(sample.lengths), len(sample.eigenvalues)
    if width < last:
        return f"the site is {width} wide; the fit needs index {last}"
    if documents < minimum_documents:
        return f"{documents} documents; the correction resamples documents and needs at least {minimum_documents}"
    return None


def _diagnose(sample: ClusteredSpectrum, index_range: tuple[int, int]) -> dict[str, float | int | str | None]:
    return {
        "n_tokens": sample.n_tokens,
        "n_documents": len(sample.lengths),
        "tokens_per_width": sample.n_tokens / len(sample.eigenvalues),
        "shared_fraction": sample.shared_fraction,
        "dispersion": sample.dispersion,
    }


def corrected_exponent(
    moments: Moments, index_range: tuple[int, int] = INDEX_RANGE, *, seed: int = 0, **options
) -> CorrectedExponent:
    """``correct_exponent`` of a stream, from its eigenvalues, document lengths, shared variance and dispersion."""
    shared = moments.documents.shared_profile(moments.width)
    dispersion = moments.documents.dispersion(shared, index_range) if moments.width >= index_range[1] else 1.0
    sample = ClusteredSpectrum(moments.eigenvalues(), moments.documents.document_lengths(), shared, dispersion)
    return correct_exponent(sample, index_range, seed=seed, **options)
