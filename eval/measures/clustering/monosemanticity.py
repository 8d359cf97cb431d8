"""Does a set of tokens mean one thing? Entropy of its labels against random sets of the same size.

For a set S with labels (token, next token, class): H(S) = -sum_l p_l log2 p_l, over the labels of its members. The null
draws sets of the same size from all items, so a small set is not called pure for being small, nor one of a frequent
token. p is the share of null sets at most as entropic; the family of sets is corrected with Benjamini-Hochberg.

Axis glossary: ``item`` tokens, ``set`` clusters or top activations of directions, ``draw`` null sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from eval.errors import UserError
from eval.measures.statistics.resampling import benjamini_hochberg


@dataclass(frozen=True)
class Monosemanticity:
    """Per set: entropy in bits, mean of the null, p, BH-adjusted q, and the share of the most frequent label.

    reduction: 1 - entropy / null mean, in (-inf, 1]; 1 is one label only, 0 as mixed as chance. All NaN for sets that
    are too small (fewer than two members), which are not counted in the family.
    """

    entropy: Float[np.ndarray, " set"]
    null: Float[np.ndarray, " set"]
    reduction: Float[np.ndarray, " set"]
    p: Float[np.ndarray, " set"]
    q: Float[np.ndarray, " set"]
    purity: Float[np.ndarray, " set"]

    def monosemantic(self, level: float = 0.05) -> np.ndarray:
        """Boolean `[set]`: less entropic than chance with a false-discovery rate of `level`."""
        return np.nan_to_num(self.q, nan=np.inf) <= level


def label_entropy(counts: Float[np.ndarray, "... label"]) -> np.ndarray:
    """Entropy in bits of counts along the last axis; 0 for a single label, NaN for no count at all."""
    total = counts.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = counts / total
        terms = np.where(counts > 0, share * np.log2(share), 0.0)
    return np.where(total[..., 0] > 0, -terms.sum(-1), np.nan)


def monosemanticity(
    sets: Sequence[np.ndarray], labels: Int[np.ndarray, " item"], *, n_draws: int = 500, seed: int = 0
) -> Monosemanticity:
    """Which sets of items carry fewer labels than chance?

    Args:
        sets: item indices of each set (they may overlap).
        labels: one integer per item; negative marks an item without a label, which is left out everywhere.
        n_draws: null sets per set; the smallest p is 1 / (1 + n_draws).

    Raises:
        UserError: a set that points outside the items.
    """
    labels = np.asarray(labels)
    known = np.flatnonzero(labels >= 0)
    values = np.unique(labels[known], return_inverse=True)[1]
    place = np.full(len(labels), -1)
    place[known] = values
    generator = np.random.default_rng(seed)
    columns = np.full((6, len(sets)), np.nan)
    nulls: dict[int, np.ndarray] = {}
    for number, members in enumerate(sets):
        mine = labels_of(members, place)
        if len(mine) < 2:
            continue
        if len(mine) not in nulls:
            nulls[len(mine)] = _null(values, len(mine), n_draws, generator)
        counts = np.bincount(mine)
        entropy, null = float(label_entropy(counts.astype(float))), nulls[len(mine)]
        p = (1 + np.sum(null <= entropy + 1e-12)) / (1 + n_draws)
        mean = float(null.mean())
        reduction = 1 - entropy / mean if mean > 0 else 0.0
        columns[:, number] = entropy, mean, reduction, p, np.nan, counts.max() / len(mine)
    columns[4] = benjamini_hochberg(columns[3])
    return Monosemanticity(*columns)


def labels_of(members: np.ndarray, labels: Int[np.ndarray, " item"]) -> Int[np.ndarray, " member"]:
    """The labels of the members of a set that have one.

    Raises:
        UserError: a set that points outside the items.
    """
    if len(members) and (np.min(members) < 0 or np.max(members) >= len(labels)):
        raise UserError(f"expected members in 0..{len(labels) - 1}; got {np.max(members)}; are labels per item?")
    mine = labels[members]
    return mine[mine >= 0]


def _null(
    values: Int[np.ndarray, " known"], size: int, n_draws: int, generator: np.random.Generator
) -> Float[np.ndarray, " draw"]:
    """Entropies of random sets without repetition: sorted row by row, a label's count is the length of its run."""
    drawn = np.sort([generator.choice(values, size, replace=False) for _ in range(n_draws)], axis=1)
    first = np.ones((n_draws, size), dtype=bool)
    first[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    starts = np.flatnonzero(first)
    share = np.diff(starts, append=drawn.size) / size
    return -np.bincount(starts // size, weights=share * np.log2(share), minlength=n_draws) + 0.0
