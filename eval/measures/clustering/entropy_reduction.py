"""How much less mixed is a set of tokens than random tokens? An effect in shares of entropy, not a count of significant
sets: the number of significant ones grows with the text read, the effect does not.

Two entropies of a set with counts X_l of its n labels, both in bits:

- at a fixed size m: the mean entropy of m members drawn without repetition, H_m = sum_l E[-(k/m) log2(k/m)], k
  hypergeometric in (n, X_l, m). Exact rarefaction [Hurlbert 1971]; sets of every size are compared at m tokens each.
- extrapolated to infinitely many members [Chao, Wang & Jost 2013, eq. 7], from the labels seen once and twice.

The reduction is 1 - H(set) / H(all items), both at the same size: 1 where the set has one label, 0 where it is as mixed
as random sets of that size, below 0 where it is more mixed.

Axis glossary: ``item`` tokens, ``set`` clusters or strongest items of directions, ``label`` distinct labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import hypergeom

from eval.errors import UserError
from eval.measures.clustering.monosemanticity import labels_of

FIXED_SIZE = 5
"""Tokens at which sets of every size are compared, unless told otherwise: the least size of a cluster."""


@dataclass(frozen=True)
class EntropyReduction:
    """Per set, 1 - entropy / that of random items, in (-inf, 1]: at the fixed size, and extrapolated.

    NaN for a set with fewer labelled members than the fixed size, and where the items have one label only.
    """

    fixed: Float[np.ndarray, " set"]
    extrapolated: Float[np.ndarray, " set"]
    size: int


def rarefied_entropy(counts: Int[np.ndarray, " label"], size: int) -> float:
    """Mean entropy in bits of `size` members drawn without repetition: exact; NaN where there are fewer members."""
    counts = np.asarray(counts)
    total = int(counts.sum())
    if total < size or size < 1:
        return float("nan")
    distinct, times = np.unique(counts[counts > 0], return_counts=True)
    drawn = np.arange(1, size + 1)
    chance = hypergeom.pmf(drawn[None], total, distinct[:, None], size)
    share = drawn / size
    return abs(float(times @ (chance @ (-share * np.log2(share)))))


def extrapolated_entropy(counts: Int[np.ndarray, " label"]) -> float:
    """Entropy in bits of what the members were drawn from [Chao, Wang & Jost 2013, eq. 7]; NaN for no member.

    The unseen part is read off the labels seen once (f1) and twice (f2); without any seen once nothing is unseen.
    """
    counts = np.asarray(counts)
    counts = counts[counts > 0]
    total = int(counts.sum())
    if not total:
        return float("nan")
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, total + 1))])
    inner = counts[counts < total]
    seen = float((inner / total) @ (harmonic[total - 1] - harmonic[inner - 1])) if len(inner) else 0.0
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    if not once or total < 2:
        return seen / np.log(2)
    denominator = (total - 1) * once + 2 * twice if twice else (total - 1) * (once - 1) + 2
    missing = (2 * twice if twice else 2) / denominator
    if missing >= 1:
        return seen / np.log(2)
    powers = np.arange(1, total)
    rest = -np.log(missing) - float(((1 - missing) ** powers / powers).sum())
    unseen = once / total * np.exp((1 - total) * np.log1p(-missing)) * max(rest, 0.0)
    return float(seen + unseen) / np.log(2)


def entropy_reduction(
    sets: Sequence[np.ndarray], labels: Int[np.ndarray, " item"], *, size: int = FIXED_SIZE
) -> EntropyReduction:
    """How much less mixed than random items is each set?

    Args:
        sets: item indices of each set (they may overlap).
        labels: one integer per item; negative marks an item without a label, which is left out everywhere.
        size: members at which the entropies are compared.

    Raises:
        UserError: a set that points outside the items, or a size below 2.
    """
    if size < 2:
        raise UserError(f"expected a size of at least 2 members; got {size}; one member has no entropy")
    labels = np.asarray(labels)
    every = np.unique(labels[labels >= 0], return_counts=True)[1]
    expected = rarefied_entropy(every, size), extrapolated_entropy(every)
    rows = np.full((2, len(sets)), np.nan)
    for number, members in enumerate(sets):
        counts = np.unique(labels_of(members, labels), return_counts=True)[1]
        if counts.sum() >= size:
            rows[:, number] = rarefied_entropy(counts, size), extrapolated_entropy(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        reduction = [
            1 - row / base if base > 0 else np.full(len(row), np.nan) for row, base in zip(rows, expected, strict=True)
        ]
    return EntropyReduction(reduction[0], reduction[1], size)
