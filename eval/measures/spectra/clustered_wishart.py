"""What spectrum would we have measured? Sample eigenvalues of Gaussian tokens that share a part with their document.

The model: token = shared + own, with shared ~ N(0, diag(lambda rho)) drawn once per document and own ~ N(0,
diag(lambda (1 - rho))) drawn per token, so the population spectrum is lambda and rho_i is the share of direction i's
variance that the tokens of a document have in common (the intraclass correlation). i.i.d. tokens are documents of
length 1, or rho = 0.

The scatter splits into independent parts within and between documents, so no token is ever drawn:

    S = W(N - J; lambda (1 - rho)) + sum_j z_j z_j^T - (mean),   z_j ~ N(0, lambda (1 - rho) + n_j lambda rho)

with W a Wishart matrix by Bartlett's decomposition. One draw costs O(d^3) whatever the number of tokens.

Axis glossary: ``index`` eigen-directions (falling eigenvalue), ``document`` documents with their token counts,
``draw`` simulated data sets.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

LENGTH_CLASSES = 16
"""Beyond ``4 * width`` documents their lengths are rounded into this many classes, each one Wishart draw."""


def simulate_eigenvalues(
    spectrum: Float[np.ndarray, " index"],
    shared: Float[np.ndarray, " index"],
    lengths: Float[np.ndarray, " document"],
    n_draws: int,
    seed: int | np.random.Generator,
) -> Float[np.ndarray, "draw index"]:
    """Eigenvalues (falling) of the sample covariance of clustered Gaussian data; the same seed gives the same noise.

    Args:
        spectrum: population eigenvalues lambda.
        shared: rho in [0, 1) per direction.
        lengths: tokens per document; their sum is N.
        n_draws: data sets to simulate.
        seed: integer or Generator.
    """
    generator = np.random.default_rng(seed)
    n_tokens, n_documents = float(lengths.sum()), len(lengths)
    clustered = bool(np.any(shared > 0)) and n_tokens > n_documents
    draws = np.empty((n_draws, len(spectrum)))
    for draw in range(n_draws):
        if clustered:
            scatter = wishart(spectrum * (1 - shared), int(round(n_tokens)) - n_documents, generator)
            scatter += _between(spectrum, shared, lengths, generator)
        else:
            scatter = wishart(spectrum, int(round(n_tokens)) - 1, generator)
        draws[draw] = np.linalg.eigvalsh(scatter)[::-1] / (n_tokens - 1)
    return draws


def wishart(
    variances: Float[np.ndarray, " index"], degrees: int, generator: np.random.Generator
) -> Float[np.ndarray, "index index"]:
    """One scatter matrix of ``degrees`` Gaussian samples with the given variances, by Bartlett's decomposition.

    Fewer degrees than directions give the singular matrix they should.
    """
    width = len(variances)
    scale = np.sqrt(variances)
    if degrees < width:
        rows = generator.standard_normal((degrees, width)) * scale
        return rows.T @ rows
    lower = np.tril(generator.standard_normal((width, width)), -1)
    lower[np.diag_indices(width)] = np.sqrt(generator.chisquare(degrees - np.arange(width)))
    lower *= scale[:, None]
    return lower @ lower.T


def _between(
    spectrum: np.ndarray, shared: np.ndarray, lengths: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Scatter of document means around the grand mean, each weighted by its length."""
    own, common = spectrum * (1 - shared), spectrum * shared
    if len(lengths) > 4 * len(spectrum):
        scatter = np.zeros((len(spectrum), len(spectrum)))
        for members in np.array_split(np.sort(lengths), LENGTH_CLASSES):
            scatter += wishart(own + members.mean() * common, len(members), generator)
        return scatter * (1 - 1 / len(lengths))
    rows = generator.standard_normal((len(lengths), len(spectrum))) * np.sqrt(own + lengths[:, None] * common)
    total = np.sqrt(lengths) @ rows / np.sqrt(lengths.sum())
    return rows.T @ rows - np.outer(total, total)
