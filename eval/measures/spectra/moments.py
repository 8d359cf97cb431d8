"""What is the covariance of the activations at a site? Streaming, exact, mergeable, resampled by document.

    moments = Moments(width, site="blocks.3.hook_out")
    for number, (tokens, documents) in enumerate(batches):
        moments.update(tokens, documents, batch=number)        # tokens[token, width], documents[token]
    spectrum = Spectrum.of(moments)                            # eval.measures.spectra.spectrum
    alpha = corrected_exponent(moments)                        # eval.measures.spectra.alpha_interval

Memory does not depend on the number of tokens. To report with and without position 0, keep a second ``Moments`` for
position 0 alone and ``merge`` it into a copy.

Accuracy: covariance sums in float64; wide sites multiply deflated float32 blocks (``half_scatter``), so that alpha and
the top min(200, width) eigenvalues equal a float64 NumPy reference to 1e-5 relative, also when
lambda_1 / lambda_50 = 1e5. [MK Methods] subsampled components and used randomized PCA; that recipe is
``spectrum.randomized_eigenvalues``.

Axis glossary: ``token``, ``width``; a *half* is a random half of the documents.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigvalsh
from torch import Tensor

from eval.errors import UserError
from eval.measures.spectra.document_groups import DocumentGroups
from eval.measures.spectra.document_moments import DocumentMoments, half_of
from eval.measures.spectra.half_scatter import HalfScatter


class Moments:
    """Count, mean, covariance (of all tokens and of two halves by document), and document statistics of one site."""

    def __init__(self, width: int, site: str = "site") -> None:
        self.width = width
        self.site = site
        self.halves = HalfScatter(width)
        self.documents = DocumentMoments(width)
        self.groups = DocumentGroups(width)
        self._anonymous = 0

    @staticmethod
    def memory_bytes(width: int) -> int:
        """Bytes kept for one site, whatever the number of tokens (one integer per document beside)."""
        return HalfScatter.bytes(width) + DocumentMoments.bytes(width) + DocumentGroups.bytes(width)

    @staticmethod
    def working_bytes(width: int, tokens: int) -> int:
        """Peak bytes needed beside that while ``tokens`` tokens are added, or the eigenvalues are taken."""
        return max(8 * 3 * tokens * width + 8 * 768 * width, 8 * 3 * width * width)

    def update(
        self, tokens: Float[Tensor, "token width"], documents: Tensor | np.ndarray | None = None, batch: int | str = "?"
    ) -> None:
        """Add tokens with the identifiers of their documents; without identifiers each token is its own document.

        Raises:
            UserError: another width, identifiers that do not match the tokens, or NaN or infinite activations (names
                site and batch; nothing of the batch is kept).
        """
        if tokens.ndim != 2 or tokens.shape[1] != self.width:
            raise UserError(
                f"expected activations [token, {self.width}] at {self.site}; got {list(tokens.shape)}; pass rows"
            )
        if not len(tokens):
            return
        tokens = tokens.detach().cpu()
        if documents is None:
            documents = np.arange(self._anonymous, self._anonymous + len(tokens))
            self._anonymous += len(tokens)
        documents = np.asarray(documents).astype(np.int64)
        if documents.shape != (len(tokens),):
            raise UserError(
                f"expected one document identifier per token at {self.site}; got {documents.shape[0]} identifiers for "
                f"{len(tokens)} tokens; repeat each document's identifier over its tokens"
            )
        self.refuse_non_finite(tokens, batch)
        self.halves.update(tokens, half_of(documents))
        self.documents.update(tokens, documents)
        self.groups.update(tokens, documents)

    def refuse_non_finite(self, tokens: Tensor, batch: int | str) -> None:
        """Raises `UserError` for NaN or infinite activations; names site, batch and place."""
        if torch.isfinite(tokens.sum()):  # one cheap pass; an overflowing sum is looked at again
            return
        bad = ~torch.isfinite(tokens)
        if bad.any():
            row, component = (int(i) for i in bad.nonzero()[0])
            raise UserError(
                f"expected finite activations at {self.site}; got {int(bad.sum())} NaN or infinite in batch {batch} "
                f"(first: token {row}, component {component}); try float32 or check the weights"
            )

    @property
    def n_tokens(self) -> int:
        return int(self.halves.count.sum())

    @property
    def n_documents(self) -> int:
        return len(self.documents.lengths)

    def mean(self) -> Float[np.ndarray, " width"]:
        """Mean activation."""
        return self.halves.mean().numpy()

    def covariance(self, half: int | None = None) -> Float[np.ndarray, "width width"]:
        """Sample covariance (divisor N - 1) of all tokens, or of one half of the documents.

        Raises:
            UserError: fewer than two tokens.
        """
        sides = (0, 1) if half is None else (half,)
        count = float(self.halves.count[list(sides)].sum())
        if count < 2:
            raise UserError(f"expected at least 2 tokens at {self.site}; got {int(count)}; read more text")
        return self.halves.scatter(sides).div_(count - 1).numpy()

    def eigenvalues(self) -> Float[np.ndarray, " width"]:
        """Eigenvalues of the covariance, falling, in float64; rounding below zero is cut to zero."""
        covariance = self.covariance().T  # symmetric; in Fortran's order LAPACK can work in place
        return np.maximum(eigvalsh(covariance, overwrite_a=True, check_finite=False)[::-1], 0.0)

    def merge(self, other: Moments) -> Moments:
        """Add the tokens another accumulator saw (another process, position 0); returns self.

        Raises:
            UserError: the widths differ.
        """
        if other.width != self.width:
            raise UserError(f"expected moments {self.width} wide; got {other.width}; merge moments of one site only")
        self.halves.merge(other.halves)
        self.documents.merge(other.documents)
        self.groups.merge(other.groups)
        self._anonymous = max(self._anonymous, other._anonymous)
        return self

    def copy(self) -> Moments:
        """An independent copy."""
        return copy.deepcopy(self)

    def state(self) -> dict[str, np.ndarray]:
        """All that is accumulated, as arrays for ``numpy.savez``."""
        parts = {f"halves.{k}": v for k, v in self.halves.state().items()}
        parts |= {f"documents.{k}": v for k, v in self.documents.state().items()}
        parts |= {f"groups.{k}": v for k, v in self.groups.state().items()}
        return parts | {"anonymous": np.array(self._anonymous)}

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Continue from ``state()``."""
        for name, part in (("halves", self.halves), ("documents", self.documents), ("groups", self.groups)):
            part.load({k.split(".", 1)[1]: v for k, v in state.items() if k.startswith(f"{name}.")})
        self._anonymous = int(state["anonymous"])
