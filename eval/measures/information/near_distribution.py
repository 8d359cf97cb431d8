"""A distribution near the data whose information is known: atoms where values repeat, Gaussian mixtures elsewhere.

Axis glossary: ``sample`` independent draws, ``column`` of x and y side by side, ``piece`` of the mixture.

A sample's *signature* says which of its columns sit on an atom (a value that repeats), and on which. Samples of one
signature form a group; within it the remaining columns follow a Gaussian mixture (components by BIC) or, where the
group is small, one Gaussian with the pooled covariance of all groups that leave the same columns free. The density of a
margin is then a sum over the pieces that agree with its atoms, so that ``I = E log p(x, y) / p(x) p(y)`` is known up to
an average over draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

Table = Float[np.ndarray, "sample column"]
XTable = Float[np.ndarray, "sample x_column"]
YTable = Float[np.ndarray, "sample y_column"]
Group = Float[np.ndarray, "_ column"]
"""The samples of one signature: as many as there are."""
ATOM_REPEATS = 5
MIXTURE_SIZES = (1, 2, 4, 8)
MOST_FITTED = 2000
"""Samples a mixture is fitted to at most: more do not change how it calibrates."""
FEW_PER_COLUMN = 20
"""Samples per free column below which a group gets one Gaussian with the pooled covariance."""
RIDGE = 1e-6


@dataclass(frozen=True)
class Piece:
    """weight; the atom of each column (NaN: free); mean and covariance of the free columns."""

    weight: float
    atoms: Float[np.ndarray, " column"]
    mean: Float[np.ndarray, " free"]
    covariance: Float[np.ndarray, "free free"]

    @property
    def free(self) -> np.ndarray:
        return np.isnan(self.atoms)


@dataclass(frozen=True)
class NearDistribution:
    """The pieces, and how many of the columns belong to x."""

    pieces: tuple[Piece, ...]
    x_columns: int

    def draw(self, n: int, generator: np.random.Generator) -> tuple[XTable, YTable]:
        """n independent pairs (x, y)."""
        weights = np.array([piece.weight for piece in self.pieces])
        counts = generator.multinomial(n, weights / weights.sum())
        parts = [_drawn(piece, int(count), generator) for piece, count in zip(self.pieces, counts, strict=True)]
        table = generator.permutation(np.concatenate(parts))
        return table[:, : self.x_columns], table[:, self.x_columns :]

    def information(self, generator: np.random.Generator, n: int = 20_000) -> float:
        """``I(X; Y)`` in nats, averaged over n draws."""
        x, y = self.draw(n, generator)
        every = np.arange(x.shape[1] + y.shape[1])
        joint = self._log_density(np.concatenate([x, y], 1), every)
        return float(
            np.mean(joint - self._log_density(x, every[: x.shape[1]]) - self._log_density(y, every[x.shape[1] :]))
        )

    def _log_density(self, values: Table, columns: np.ndarray) -> Float[np.ndarray, " sample"]:
        """Log density of some columns, with respect to counts on atoms and lengths elsewhere."""
        density = np.full(len(values), -np.inf)
        for atoms, pieces in _by_atoms(self.pieces, columns):
            free = np.isnan(atoms)
            here = np.flatnonzero(np.all(np.isclose(values, atoms, rtol=0, atol=1e-12) | free, 1))
            terms = [
                np.log(piece.weight) + _gaussian_log_density(values[here][:, free], piece, columns) for piece in pieces
            ]
            density[here] = np.logaddexp(density[here], logsumexp(np.array(terms), axis=0))
        return density


def _by_atoms(pieces: Sequence[Piece], columns: np.ndarray) -> Iterator[tuple[np.ndarray, list[Piece]]]:
    """The pieces that sit on the same atoms in these columns."""
    groups: dict[bytes, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.atoms[columns].tobytes(), []).append(piece)
    for group in groups.values():
        yield group[0].atoms[columns], group


def _gaussian_log_density(values: Group, piece: Piece, columns: np.ndarray) -> Float[np.ndarray, " _"]:
    """Of the piece's free columns among ``columns``; 0 where there is none."""
    chosen = np.flatnonzero(np.isin(np.flatnonzero(piece.free), columns))
    if len(chosen) == 0:
        return np.zeros(len(values))
    factor = np.linalg.cholesky(piece.covariance[np.ix_(chosen, chosen)])
    whitened = np.linalg.solve(factor, (values - piece.mean[chosen]).T)
    return -0.5 * (np.square(whitened).sum(0) + len(chosen) * np.log(2 * np.pi)) - np.log(factor.diagonal()).sum()


def _drawn(piece: Piece, n: int, generator: np.random.Generator) -> Group:
    table = np.tile(piece.atoms, (n, 1))
    factor = np.linalg.cholesky(piece.covariance) if len(piece.mean) else np.zeros((0, 0))
    table[:, piece.free] = piece.mean + generator.standard_normal((n, len(piece.mean))) @ factor.T
    return table


def fit_near(x: XTable, y: YTable, *, symbols: bool = False, seed: int = 0) -> NearDistribution | None:
    """The distribution, fitted in the columns as they are given; ``None`` where almost no two samples share a
    signature, so that nothing could be fitted. symbols: every value of x is an atom, however rare."""
    table = np.concatenate([x, y], 1)
    if len(table) > MOST_FITTED:
        table = table[np.random.default_rng(seed).choice(len(table), MOST_FITTED, replace=False)]
    atomic = _is_atom(table)
    atomic[:, : x.shape[1]] |= symbols
    signature = np.where(atomic, table, np.nan)
    kinds, group_of = np.unique(np.nan_to_num(signature, nan=np.inf), axis=0, return_inverse=True)
    if len(kinds) > len(table) / 2:
        return None
    groups = [table[group_of.ravel() == index] for index in range(len(kinds))]
    atoms = [np.where(np.isinf(kind), np.nan, kind) for kind in kinds]
    pooled = _pooled(groups, atoms)
    pieces = [
        piece
        for group, kind in zip(groups, atoms, strict=True)
        for piece in _pieces(group, kind, pooled[np.isnan(kind).tobytes()], len(group) / len(table), seed)
    ]
    return NearDistribution(tuple(pieces), x.shape[1])


def _is_atom(table: Table) -> np.ndarray:
    """Which values repeat often enough in their column to have a probability of their own."""
    least = max(ATOM_REPEATS, len(table) // 200)
    out = np.zeros(table.shape, bool)
    for column in range(table.shape[1]):
        _, inverse, counts = np.unique(table[:, column], return_inverse=True, return_counts=True)
        out[:, column] = counts[inverse] >= least
    return out


def _pooled(groups: Sequence[Group], atoms: Sequence[np.ndarray]) -> dict[bytes, np.ndarray]:
    """Covariance within groups, by which columns are free."""
    sums: dict[bytes, tuple[np.ndarray, int]] = {}
    for group, kind in zip(groups, atoms, strict=True):
        free = np.isnan(kind)
        values = group[:, free]
        centred = values - values.mean(0)
        scatter, count = sums.get(free.tobytes(), (np.zeros((free.sum(), free.sum())), 0))
        sums[free.tobytes()] = (scatter + centred.T @ centred, count + len(group) - 1)
    return {key: scatter / max(count, 1) + RIDGE * np.eye(len(scatter)) for key, (scatter, count) in sums.items()}


def _pieces(group: Group, atoms: np.ndarray, pooled: np.ndarray, weight: float, seed: int) -> list[Piece]:
    free = np.isnan(atoms)
    values = group[:, free]
    if len(values) < FEW_PER_COLUMN * max(1, int(free.sum())) or not free.any():
        return [Piece(weight, atoms, values.mean(0), pooled)]
    from sklearn.mixture import GaussianMixture  # slow to import

    fits = []
    for size in MIXTURE_SIZES:
        if size == 1 or len(values) >= size * FEW_PER_COLUMN * free.sum():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a mixture that has not converged is still a known distribution
                fits.append(GaussianMixture(size, reg_covar=RIDGE, random_state=seed, max_iter=60).fit(values))
    best = min(fits, key=lambda fit: fit.bic(values))
    return [
        Piece(weight * float(share), atoms, mean, covariance)
        for share, mean, covariance in zip(best.weights_, best.means_, best.covariances_, strict=True)
        if share > 0
    ]
