"""How sure is an exponent measured on real text? Documents differ in topic, style and length: so resample documents.

Kept per site: second moments of ``N_GROUPS`` random groups of documents in the leading ``SUBSPACE`` directions of the
first tokens (all directions of a narrower site). Any resampling afterwards is linear algebra on those matrices.

Half-sampling [McCarthy 1969]: cut the groups into two random halves A, B,
many times. With theta the exponent,

    sd(theta) = sqrt(mean (theta_A - theta_B)^2) / 2          drift = theta - mean (theta_A + theta_B) / 2

The sd holds what a model of the text would miss: topics, lengths, heavy tails, neighbouring tokens. The drift is what
doubling the documents changed; were the bias proportional to 1 / documents, theta + drift would be free of it.

What it assumes: documents are drawn independently of one another. Articles cut into sections are not, and should be
read as articles.

Axis glossary: ``token``, ``width``, ``direction`` (of the subspace), ``group`` (documents by hash), ``split``,
``half`` (0 or 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import t
from torch import Tensor

from eval.measures.spectra.document_moments import group_of
from eval.measures.spectra.power_law import INDEX_RANGE, power_law_exponent
from eval.measures.statistics.resampling import MINIMUM_GROUPS
from eval.measures.threads import one_blas_thread

N_GROUPS = 32
SUBSPACE = 128
DIRECTIONS_PER_INDEX = 2
"""The subspace must have this many directions per fitted index, so that its own cut does not reach the fit."""
N_SPLITS = 40


@dataclass(frozen=True)
class DocumentSplits:
    """Exponents of random halves of the documents.

    whole: of all documents, in the same subspace. halves: [split, half]. n_groups: that were not empty.
    """

    whole: float
    halves: Float[np.ndarray, "split half"]
    n_groups: int

    @property
    def sd(self) -> float:
        """Standard deviation of the exponent over other documents of the same kind and number."""
        return float(np.sqrt(np.mean((self.halves[:, 0] - self.halves[:, 1]) ** 2))) / 2

    @property
    def drift(self) -> float:
        """What doubling the documents changed: the exponent of all less the mean exponent of halves."""
        return self.whole - float(self.halves.mean())

    def half_width(self, confidence: float = 0.95) -> float:
        """Half the width of the interval: Student's quantile, because the groups are few, times the sd."""
        return float(t.ppf(0.5 + confidence / 2, self.n_groups - 1)) * self.sd


class DocumentGroups:
    """Sums and second moments of groups of documents in a subspace, about the mean of the first batch."""

    def __init__(self, width: int) -> None:
        self.width = width
        kept = min(width, SUBSPACE)
        self.basis = torch.zeros(width, kept, dtype=torch.float64)
        self.shift = torch.zeros(width, dtype=torch.float64)
        self.counts = np.zeros(N_GROUPS)
        self.sums = np.zeros((N_GROUPS, kept))
        self.moments = np.zeros((N_GROUPS, kept, kept))

    @staticmethod
    def bytes(width: int) -> int:
        """Memory kept, whatever the number of tokens."""
        kept = min(width, SUBSPACE)
        return 8 * (width * (kept + 1) + N_GROUPS * (1 + kept + kept * kept))

    @one_blas_thread
    def update(self, tokens: Float[Tensor, "token width"], documents: Int[np.ndarray, " token"]) -> None:
        """Add tokens with the identifiers of their documents."""
        if not self.counts.any():
            self._start(tokens)
        low = ((tokens.double() - self.shift) @ self.basis).numpy()
        groups = group_of(documents, N_GROUPS)
        for group in np.unique(groups):
            rows = low[groups == group]
            self.counts[group] += len(rows)
            self.sums[group] += rows.sum(0)
            self.moments[group] += rows.T @ rows

    def _start(self, tokens: Tensor) -> None:
        """The mean and the leading directions of the first tokens (subspace iteration)."""
        tokens = tokens.double()
        self.shift = tokens.mean(0)
        if self.basis.shape[1] == self.width:
            self.basis = torch.eye(self.width, dtype=torch.float64)
            return
        centred = tokens - self.shift
        generator = torch.Generator().manual_seed(self.width)
        basis = torch.randn(self.width, self.basis.shape[1], generator=generator, dtype=torch.float64)
        ridge = 1e-9 * float(centred.square().sum())
        for _ in range(3):
            basis = torch.linalg.qr(centred.T @ (centred @ basis) + ridge * basis).Q
        self.basis = basis

    def merge(self, other: DocumentGroups) -> None:
        """Add another stream's tokens. A wide site's other subspace is projected onto this one: its directions differ
        a little, and so, in the third digit, does the sd of several processes from that of one."""
        if not other.counts.any():
            return
        if not self.counts.any():
            self.load(other.state())
            return
        turn = (other.basis.T @ self.basis).numpy()
        offset = ((other.shift - self.shift) @ self.basis).numpy()
        sums = other.sums @ turn
        mixed = sums[:, :, None] * offset
        outer = other.counts[:, None, None] * np.outer(offset, offset)
        self.moments += turn.T @ other.moments @ turn + mixed + mixed.transpose(0, 2, 1) + outer
        self.sums += sums + other.counts[:, None] * offset
        self.counts += other.counts

    @one_blas_thread
    def splits(
        self, index_range: tuple[int, int] = INDEX_RANGE, *, n_splits: int = N_SPLITS, seed: int = 0
    ) -> DocumentSplits | None:
        """The exponents of random halves of the groups; the same seed gives the same halves of the same documents.

        `None` where fewer than half of `MINIMUM_GROUPS` groups have a token, or the subspace is too small for the fit.
        """
        used = np.flatnonzero(self.counts)
        kept = self.basis.shape[1]
        needed = index_range[1] * (DIRECTIONS_PER_INDEX if kept < self.width else 1)
        if len(used) < MINIMUM_GROUPS // 2 or kept < needed:
            return None
        generator = np.random.default_rng(seed)
        halves = np.empty((n_splits, 2))
        for split in range(n_splits):
            order = generator.permutation(used)
            for half, members in enumerate((order[: len(used) // 2], order[len(used) // 2 :])):
                halves[split, half] = self._exponent(members, index_range)
        return DocumentSplits(self._exponent(used, index_range), halves, len(used))

    def _exponent(self, groups: np.ndarray, index_range: tuple[int, int]) -> float:
        count, total = self.counts[groups].sum(), self.sums[groups].sum(0)
        scatter = self.moments[groups].sum(0) - np.outer(total, total) / count
        values = np.linalg.eigvalsh(scatter)[::-1] / max(count - 1, 1)
        return float(power_law_exponent(np.maximum(values, 1e-14 * max(values[0], 1e-300)), index_range))

    def state(self) -> dict[str, np.ndarray]:
        tensors = {"basis": self.basis.numpy(), "shift": self.shift.numpy()}
        return tensors | {"counts": self.counts, "sums": self.sums, "moments": self.moments}

    def load(self, state: dict[str, np.ndarray]) -> None:
        for name in ("basis", "shift"):
            setattr(self, name, torch.from_numpy(np.array(state[name])))
        for name in ("counts", "sums", "moments"):
            setattr(self, name, np.array(state[name]))
