"""How alike are the tokens of one document? What a stream must keep so that documents can be resampled afterwards.

Kept per site, whatever the number of tokens (apart from one integer per document): sums per document, and second
moments of ``N_GROUPS`` random groups of documents, both in a fixed random subspace of at most ``SKETCH_WIDTH``
dimensions (the identity for narrower sites). From them come

* ``shared_profile``: rho, the share of a direction's variance common to a document (analysis of variance);
* ``dispersion``: how much more the groups' covariances scatter than that model says (heavy tails, topics,
  neighbouring tokens), measured on off-diagonal entries in a basis taken from the other half of the groups.

Axis glossary: ``token``, ``width``, ``sketch`` (dimensions of the subspace), ``bin`` (one document each, up to
``N_BINS`` documents, then shared by identifier modulo ``N_BINS``), ``group`` (documents by hash).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.measures.threads import one_blas_thread

SKETCH_WIDTH = 192
N_BINS = 256
N_GROUPS = 16
BAND_EDGES = (0, 3, 9, 25, 60)
"""Directions (0-based) at which the bands of the shared-variance profile start."""


def group_of(documents: Int[np.ndarray, " token"], n_groups: int = N_GROUPS) -> Int[np.ndarray, " token"]:
    """In which of `n_groups` random groups is a document? A hash (splitmix64) of it, so that all processes agree."""
    with np.errstate(over="ignore"):
        x = documents.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x % np.uint64(n_groups)).astype(np.int64)


def half_of(documents: Int[np.ndarray, " token"]) -> Int[np.ndarray, " token"]:
    """Which half of the documents, 0 or 1, does each token belong to? Half of the groups each."""
    return group_of(documents) % 2


class DocumentMoments:
    """Per-document sums and per-group second moments in the sketch, about the mean of the first batch."""

    def __init__(self, width: int) -> None:
        self.width = width
        sketch = min(width, SKETCH_WIDTH)
        self.basis: Tensor | None = None
        if sketch < width:
            generator = torch.Generator().manual_seed(width)
            self.basis = torch.linalg.qr(torch.randn(width, sketch, generator=generator)).Q
        self.lengths: dict[int, int] = {}
        self.shift = np.zeros(sketch)
        self.bin_sums = np.zeros((N_BINS, sketch))
        self.group_sums = np.zeros((N_GROUPS, sketch))
        self.group_moments = np.zeros((N_GROUPS, sketch, sketch))

    @staticmethod
    def bytes(width: int) -> int:
        """Memory kept, apart from the documents' lengths."""
        sketch = min(width, SKETCH_WIDTH)
        basis = 4 * width * sketch if sketch < width else 0
        return basis + 8 * sketch * (1 + N_BINS + N_GROUPS * (1 + sketch))

    @one_blas_thread
    def update(self, tokens: Float[Tensor, "token width"], documents: Int[np.ndarray, " token"]) -> None:
        low = tokens.double() if self.basis is None else tokens.float() @ self.basis
        low = low.double().numpy()
        if not self.lengths:
            self.shift = low.mean(0)
        low = low - self.shift
        identifiers, place, counts = np.unique(documents, return_inverse=True, return_counts=True)
        sums = np.zeros((len(identifiers), low.shape[1]))
        np.add.at(sums, place, low) if len(identifiers) > 64 else self._sum_rows(sums, place, low)
        np.add.at(self.bin_sums, identifiers % N_BINS, sums)
        for identifier, count in zip(identifiers.tolist(), counts.tolist(), strict=True):
            self.lengths[identifier] = self.lengths.get(identifier, 0) + count
        groups = group_of(documents)
        for group in np.unique(groups):
            rows = low[groups == group]
            self.group_sums[group] += rows.sum(0)
            self.group_moments[group] += rows.T @ rows

    @staticmethod
    def _sum_rows(sums: np.ndarray, place: np.ndarray, low: np.ndarray) -> None:
        for row in range(len(sums)):
            sums[row] = low[place == row].sum(0)

    def merge(self, other: DocumentMoments) -> None:
        """Add another stream's tokens; documents split between the two are recognised by their identifier."""
        if not other.lengths:
            return
        if not self.lengths:
            self.shift = other.shift.copy()
        offset = other.shift - self.shift
        self.bin_sums += other.bin_sums + other._per(N_BINS)[0][:, None] * offset
        sizes = other._per(N_GROUPS)[0]
        mixed = other.group_sums[:, :, None] * offset
        outer = sizes[:, None, None] * np.outer(offset, offset)
        self.group_moments += other.group_moments + mixed + mixed.transpose(0, 2, 1) + outer
        self.group_sums += other.group_sums + sizes[:, None] * offset
        for identifier, count in other.lengths.items():
            self.lengths[identifier] = self.lengths.get(identifier, 0) + count

    def _per(self, parts: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens, and sum of squared document lengths, per bin or group."""
        identifiers = np.array(sorted(self.lengths), dtype=np.int64)
        lengths = self.document_lengths()
        place = identifiers % N_BINS if parts == N_BINS else group_of(identifiers)
        return np.bincount(place, lengths, parts), np.bincount(place, lengths**2, parts)

    def document_lengths(self) -> Float[np.ndarray, " document"]:
        """Tokens per document, in the order of their identifiers (so that merging in any order gives the same)."""
        return np.array([self.lengths[document] for document in sorted(self.lengths)], dtype=float)

    @one_blas_thread
    def shared_profile(self, width: int) -> Float[np.ndarray, " width"]:
        """Which share of each direction's variance do the tokens of a document have in common? In [0, .98].

        Analysis of variance in the eigenbasis of the within-document scatter: with a_b = sum of n_j^2 / n_b over bin b,
        E[between] = (B-1) own + (sum a_b - sum n_j^2 / N) common;  E[within] = (N-B) own + (N - sum a_b) common.
        Averaged over bands of directions and interpolated in log index. Zero where documents have one token each.
        """
        tokens, squares = self._per(N_BINS)
        used = tokens > 0
        tokens, squares = tokens[used], squares[used]
        total, bins, weight = tokens.sum(), len(tokens), (squares / tokens).sum()
        system = np.array([[bins - 1, weight - squares.sum() / total], [total - bins, total - weight]])
        if bins < 2 or total <= bins or abs(np.linalg.det(system)) < 1e-9 * total * total or squares.sum() <= total:
            return np.zeros(width)
        mean = self.group_sums.sum(0) / total
        scaled = (self.bin_sums[used] - tokens[:, None] * mean) / np.sqrt(tokens)[:, None]
        within = self.group_moments.sum(0) - total * np.outer(mean, mean) - scaled.T @ scaled
        values, vectors = np.linalg.eigh(within)
        values, vectors = values[::-1], vectors[:, ::-1]
        between = ((scaled @ vectors) ** 2).sum(0)
        own, common = np.linalg.solve(system, np.stack([between, values]))
        share = np.where(own + common > 0, common / np.where(own + common > 0, own + common, 1), 0)
        edges = [e for e in BAND_EDGES if e < len(share)]
        bands = np.split(share, edges[1:])
        centres = [
            np.log(np.arange(1, len(share) + 1)[e : e + len(b)]).mean() for e, b in zip(edges, bands, strict=True)
        ]
        levels = np.clip([band.mean() for band in bands], 0, 0.98)
        return np.interp(np.log(np.arange(1, width + 1)), centres, levels)

    @one_blas_thread
    def dispersion(self, shared: Float[np.ndarray, " index"], index_range: tuple[int, int]) -> float:
        """How much more do covariances of document groups scatter than clustered Gaussian tokens would? 1: as much."""
        tokens, squares = self._per(N_GROUPS)
        total = tokens.sum()
        mean = self.group_sums.sum(0) / total
        centred = (
            self.group_moments - _symmetric_outer(self.group_sums, mean) + tokens[:, None, None] * np.outer(mean, mean)
        )
        found, expected = 0.0, 0.0
        for side in (0, 1):
            here, there = (np.flatnonzero((np.arange(N_GROUPS) % 2 == s) & (tokens > 0)) for s in (side, 1 - side))
            if len(here) < 3 or len(there) < 3:
                continue
            directions = np.linalg.eigh(centred[there].sum(0))[1][:, ::-1][:, index_range[0] - 1 : index_range[1]]
            share = shared[index_range[0] - 1 : index_range[1]][: directions.shape[1]]
            parts = np.einsum("ai,gab,bj->gij", directions, centred[here], directions, optimize=True)
            scatter = _group_scatter(parts, tokens[here], squares[here], np.outer(share, share))
            found, expected = found + scatter[0], expected + scatter[1]
        return found / expected if expected > 0 else 1.0

    def state(self) -> dict[str, np.ndarray]:
        identifiers = np.array(sorted(self.lengths), dtype=np.int64)
        arrays = {name: getattr(self, name) for name in ("shift", "bin_sums", "group_sums", "group_moments")}
        return arrays | {"identifiers": identifiers, "lengths": self.document_lengths()}

    def load(self, state: dict[str, np.ndarray]) -> None:
        for name in ("shift", "bin_sums", "group_sums", "group_moments"):
            setattr(self, name, np.array(state[name]))
        pairs = zip(state["identifiers"].tolist(), state["lengths"].astype(np.int64).tolist(), strict=True)
        self.lengths = dict(pairs)


def _symmetric_outer(rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
    mixed = rows[:, :, None] * vector
    return mixed + mixed.transpose(0, 2, 1)


def _group_scatter(
    parts: np.ndarray, tokens: np.ndarray, squares: np.ndarray, shared_pair: np.ndarray
) -> tuple[float, float]:
    """Observed and expected squared deviation of group second moments, over off-diagonal entries of scaled data."""
    total = tokens.sum()
    covariance = parts.sum(0) / total
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    deviation = (parts - tokens[:, None, None] * covariance) / scale
    variance = (tokens[:, None, None] + (squares - tokens)[:, None, None] * shared_pair) * (
        1 + (covariance / scale) ** 2
    )
    kept = (1 - 2 * tokens / total)[:, None, None] * variance
    pooled = (tokens**2).sum() / total**2 * variance.sum(0)
    above = np.triu_indices(len(covariance), 1)
    return float((deviation**2).sum(0)[above].sum()), float((kept.sum(0) + pooled)[above].sum())
