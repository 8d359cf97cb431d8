"""How redundant is the code at a site? The eigenspectrum of its covariance, and what to read off it.

Axis glossary: ``index`` eigenvalues in falling order (index 1 is the largest), ``width`` components, ``sample`` tokens.

Sources: Marshall & Kirchner 2023 [MK], section 2 and Methods; Roy & Vetterli 2007 (effective rank). The power-law fits
are in ``power_law``, the bias-corrected exponent with its interval in ``alpha_interval``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from eval.errors import UserError
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.power_law import INDEX_RANGE, broken_power_law, curvature, fit_power_law, range_sensitivity

RANDOMIZED_FEATURES = 8000
RANDOMIZED_COMPONENTS = 1000


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a sample covariance (divisor N - 1), falling, with the number of samples behind them.

    eigenvalues: all of them, zeros included. n_samples: tokens or images.
    split_half: variance of one half of the documents along the other half's eigenvectors, or None (see
        ``split_half_eigenvalues``).
    """

    eigenvalues: Float[np.ndarray, " index"]
    n_samples: int
    split_half: Float[np.ndarray, " index"] | None = None

    @classmethod
    def of(cls, moments: Moments, split_half: bool = True) -> Spectrum:
        """The spectrum of a stream of activations; ``split_half`` costs one eigendecomposition per half."""
        halves = None
        if split_half and float(moments.halves.count.min()) >= 2:
            halves = split_half_eigenvalues(moments.covariance(0), moments.covariance(1))
        return cls(moments.eigenvalues(), moments.n_tokens, halves)

    @classmethod
    def of_samples(cls, samples: Float[np.ndarray, "sample width"]) -> Spectrum:
        """The spectrum of a matrix that fits in memory (images, frames); float64.

        Raises:
            UserError: fewer than two samples, or values that are not finite.
        """
        samples = np.asarray(samples, dtype=float)
        if samples.ndim != 2 or len(samples) < 2:
            raise UserError(f"expected samples [sample >= 2, width]; got {list(samples.shape)}; pass samples as rows")
        if not np.isfinite(samples).all():
            raise UserError("expected finite samples; got NaN or infinite values; check the activations")
        centred = samples - samples.mean(0)
        width, count = samples.shape[1], len(samples)
        gram = centred.T @ centred if width <= count else centred @ centred.T
        values = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0) / (count - 1)
        return cls(np.pad(values, (0, width - len(values))), count)

    @property
    def width(self) -> int:
        return len(self.eigenvalues)

    def participation_ratio(self) -> float:
        return participation_ratio(self.eigenvalues, self.n_samples)

    def effective_rank(self) -> float:
        return effective_rank(self.eigenvalues)

    def top_direction_share(self) -> float:
        return top_direction_share(self.eigenvalues)

    def report(self, index_range: tuple[int, int] = INDEX_RANGE) -> dict[str, Any]:
        """Every descriptive number of the spectrum as JSON fields; an undefined one is None with ``..._reason``.

        The uncorrected exponent is ``alpha``; its interval belongs to ``alpha_corrected`` (``alpha_interval``).
        """
        fields: dict[str, Any] = {
            "width": self.width,
            "n_tokens": self.n_samples,
            "tokens_per_width": self.n_samples / self.width,
            "top_direction_share": self.top_direction_share(),
            "participation_ratio": self.participation_ratio(),
            "effective_rank": self.effective_rank(),
        }
        fields = {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in fields.items()}
        try:
            return fields | self._fit_fields(index_range)
        except UserError as error:
            unfitted = ("alpha", "r2", "curvature", "broken_power_law", "range_sensitivity", "effective_capacity")
            return fields | dict.fromkeys(unfitted) | {"alpha_reason": str(error)}

    def _fit_fields(self, index_range: tuple[int, int]) -> dict[str, Any]:
        fit = fit_power_law(self.eigenvalues, index_range)
        fields: dict[str, Any] = {"alpha": fit.exponent, "intercept": fit.intercept, "r2": fit.r2}
        fields["curvature"] = curvature(self.eigenvalues, index_range)
        sensitivity = range_sensitivity(self.eigenvalues, index_range)
        fields["range_sensitivity"] = {f"{a}-{b}": exponent for (a, b), exponent in sensitivity.items()}
        if index_range[1] - index_range[0] >= 7:
            kink = broken_power_law(self.eigenvalues, index_range)
            fields["broken_power_law"] = {
                "exponents": list(kink.exponents),
                "break_index": kink.break_index,
                "delta_bic": kink.delta_bic,
            }
        fields["effective_capacity"] = {
            convention: effective_capacity(fit.exponent, self.width, convention=convention)
            for convention in ("eigenvalue", "standard deviation")
        }
        if self.split_half is not None and np.all(self.split_half[index_range[0] - 1 : index_range[1]] > 0):
            fields["split_half_alpha"] = fit_power_law(self.split_half, index_range).exponent
        return fields


def top_direction_share(eigenvalues: Float[np.ndarray, " index"]) -> float:
    """Which share of the variance lies along one direction? lambda_1 / sum; in (0, 1], NaN without variance.

    Above .5 the rest of the report describes mostly that direction (position 0, a massive activation).
    """
    total = float(np.sum(eigenvalues))
    return float(np.max(eigenvalues)) / total if total > 0 else float("nan")


def effective_rank(eigenvalues: Float[np.ndarray, " index"]) -> float:
    """How many directions does the code use, by entropy? exp(-sum p log p), p = lambda / sum. [Roy & Vetterli 2007]

    In [1, width]; equals the width for a flat spectrum. NaN without variance.
    """
    total = float(np.sum(eigenvalues))
    if not total > 0:
        return float("nan")
    share = np.asarray(eigenvalues)[np.asarray(eigenvalues) > 0] / total
    return float(np.exp(-np.sum(share * np.log(share))))


def participation_ratio(eigenvalues: Float[np.ndarray, " index"], n_samples: int | None = None) -> float:
    """How many directions does the code use? (sum lambda)^2 / sum lambda^2, corrected for the number of samples.

    With S the sample covariance, n = N - 1 and c = n^2 / ((n - 1)(n + 2)), numerator and denominator are replaced by
    their unbiased estimates for Gaussians:

        tr(Sigma^2)  <-  c (tr S^2 - (tr S)^2 / n)
        (tr Sigma)^2 <-  c ((1 + 1/n)(tr S)^2 - (2/n) tr S^2)

    Args:
        n_samples: independent samples; None gives the plain ratio, which is too small for few samples.

    Returns:
        In [1, width] for the plain ratio. NaN without variance, for fewer than 3 samples, or where the estimate of
        tr(Sigma^2) is not positive (too few samples to tell). Tokens of a document are not independent: for clustered
        data this is corrected less than it should be.
    """
    trace, square = float(np.sum(eigenvalues)), float(np.sum(np.square(eigenvalues)))
    if not trace > 0:
        return float("nan")
    if n_samples is None:
        return trace**2 / square
    n = n_samples - 1
    if n < 2:
        return float("nan")
    numerator = (1 + 1 / n) * trace**2 - 2 / n * square
    denominator = square - trace**2 / n
    return numerator / denominator if denominator > 1e-12 * square else float("nan")


def split_half_eigenvalues(
    first: Float[np.ndarray, "width width"], second: Float[np.ndarray, "width width"]
) -> Float[np.ndarray, " index"]:
    """Which variance do directions found on one half of the documents hold on the other half? Mean of both ways.

    u_i^T C_other u_i with u_i the i-th eigenvector of the one half. Noise directions lose their inflated variance, so
    a spectrum that only looks steep falls away from this curve. It is not Stringer's cross-validated PCA, which needs
    two noisy repeats of the same stimuli (two dropout masks). Near-duplicate documents in both halves defeat it.
    """

    def held_out(found: np.ndarray, other: np.ndarray) -> np.ndarray:
        vectors = np.linalg.eigh(found)[1][:, ::-1]
        return np.einsum("wi,wi->i", vectors, other @ vectors)

    return (held_out(first, second) + held_out(second, first)) / 2


def effective_capacity(
    exponent: float, width: int, bits_per_neuron: float = 32.0, convention: str = "eigenvalue"
) -> float:
    """How many bits can a layer carry whose variances fall as a power law? [MK eq. 3, Theorem 4]

        capacity = sum_i log2(2^n i^a) = m n + a log2(m!),   m = width, n = bits per neuron

    where i^a is the *standard deviation* of direction i. The fitted exponent belongs to *eigenvalues* (variances), so
    under ``convention="eigenvalue"`` a = exponent / 2; ``"standard deviation"`` takes a = exponent, as the paper's text
    reads. Bits; at most m n (reached by a flat spectrum); more is better. The exact sum is returned, also where
    directions fall below one quantisation step (negative terms): reverse water-filling is in ``capacity``.

    Raises:
        UserError: unknown convention, or a width below 1.
    """
    if convention not in ("eigenvalue", "standard deviation"):
        raise UserError(f"expected convention 'eigenvalue' or 'standard deviation'; got {convention!r}; choose one")
    if width < 1:
        raise UserError(f"expected width >= 1; got {width}; pass the number of components")
    slope = exponent / 2 if convention == "eigenvalue" else exponent
    return float(width * bits_per_neuron + slope * np.sum(np.log2(np.arange(1, width + 1))))


def randomized_eigenvalues(
    samples: Float[np.ndarray, "sample width"],
    n_components: int = RANDOMIZED_COMPONENTS,
    maximum_features: int = RANDOMIZED_FEATURES,
    seed: int = 0,
) -> Float[np.ndarray, " index"]:
    """[MK]'s own recipe, for parity: subsample components to < 8000, randomized PCA with <= 1000 components.

    Up to 12% off in the trailing eigenvalues; the exact route (``Spectrum``) is faster as well.
    """
    from sklearn.decomposition import PCA

    generator = np.random.default_rng(seed)
    samples = np.asarray(samples)
    if samples.shape[1] >= maximum_features:
        samples = samples[:, np.sort(generator.choice(samples.shape[1], maximum_features - 1, replace=False))]
    n_components = min(n_components, *samples.shape)
    return PCA(n_components, svd_solver="randomized", random_state=seed).fit(samples).explained_variance_
