"""Truth tables of logic forms: every candidate over few parents, its critical cells, and their p-values.

Axis glossary: ``cell`` a pattern of a candidate's parents that decides it, ``pattern`` of all parents, ``group``
documents, ``token`` observations, ``parent`` candidate inputs of one child.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import special


@dataclass(frozen=True)
class Candidate:
    """A form as its truth function over the chosen columns and its critical cells."""

    kind: str
    columns: tuple[int, ...]
    need: int

    def true_on(self, pattern: tuple[int, ...]) -> bool:
        if self.kind == "and-not":
            return pattern == (1, 0)
        return sum(pattern) >= self.need

    def critical(self) -> list[tuple[int, ...]]:
        patterns = itertools.product((0, 1), repeat=len(self.columns))
        if self.kind == "and-not":
            return list(patterns)
        return [pattern for pattern in patterns if sum(pattern) in (self.need - 1, self.need)]


def candidates(n_parents: int) -> list[Candidate]:
    """Every form over up to four of the parents: singles, ORs, ANDs (up to three), AND-NOTs (both orders), k-of-n."""
    found = [Candidate("single", (i,), 1) for i in range(n_parents)]
    for size in range(2, min(4, n_parents) + 1):
        for columns in itertools.combinations(range(n_parents), size):
            found.append(Candidate("or", columns, 1))
            if size <= 3:
                found.append(Candidate("and", columns, size))
            found += [Candidate("k-of-n", columns, need) for need in range(2, size)]
    found += [Candidate("and-not", pair, 1) for pair in itertools.permutations(range(n_parents), 2)]
    return found


@dataclass(frozen=True)
class Plan:
    """Every candidate over n parents, and every critical cell as a mask over the 2^n patterns of the parents."""

    candidates: tuple[Candidate, ...]
    masks: np.ndarray  # [cell pattern]
    expected: np.ndarray  # [cell]
    owner: np.ndarray  # [cell] index into candidates
    true: np.ndarray  # [candidate pattern]


@lru_cache
def plan_of(n_parents: int) -> Plan:
    codes = np.arange(1 << n_parents)
    bits = (codes[:, None] >> np.arange(n_parents)) & 1
    found = tuple(candidates(n_parents))
    masks, expected, owner, true = [], [], [], []
    for number, candidate in enumerate(found):
        chosen = bits[:, list(candidate.columns)]
        true.append([candidate.true_on(tuple(row)) for row in chosen.tolist()])
        for pattern in candidate.critical():
            masks.append((chosen == pattern).all(1))
            expected.append(candidate.true_on(pattern))
            owner.append(number)
    return Plan(found, np.array(masks, float), np.array(expected), np.array(owner), np.array(true, float))


def count_patterns(fires: np.ndarray, parents: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and firings of every pattern of the parents, ``[pattern group]`` each."""
    n_patterns = 1 << parents.shape[1]
    code = parents.astype(bool) @ (1 << np.arange(parents.shape[1]))
    index = np.zeros(len(code), dtype=int) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(index.max()) + 1 if len(index) else 1
    flat = code * n_groups + index
    size = n_patterns * n_groups
    seen, fired = np.bincount(flat, minlength=size), np.bincount(flat[fires.astype(bool)], minlength=size)
    return seen.reshape(n_patterns, n_groups), fired.reshape(n_patterns, n_groups)


def cell_p_values(
    seen: Float[np.ndarray, "cell group"],
    fired: Float[np.ndarray, "cell group"],
    expected: Bool[np.ndarray, " cell"],
    threshold: float,
    clustered: bool = False,
) -> Float[np.ndarray, " cell"]:
    """Is the firing rate in each cell on the expected side of ``threshold``? One-sided p in (0, 1].

    Exact binomial over tokens. If ``clustered``, a t-test of the pooled rate whose variance is that of the documents'
    sums (cluster-robust), never smaller than the binomial p; with fewer than five documents p = 1.
    """
    n, count = seen.sum(1), fired.sum(1)
    agreeing = np.where(expected, count, n - count)
    rate = np.where(expected, threshold, 1 - threshold)
    p_values = np.where(agreeing > 0, special.betainc(np.maximum(agreeing, 1), n - agreeing + 1, rate), 1.0)
    if not clustered:
        return p_values
    n_groups = (seen > 0).sum(1)
    share = np.divide(count, n, out=np.zeros_like(n), where=n > 0)
    spread = np.sum((fired - seen * share[:, None]) ** 2, axis=1)
    usable = np.maximum(n_groups, 2)
    error = np.sqrt(usable / (usable - 1) * spread) / np.maximum(n, 1)
    gap = np.where(expected, share - threshold, threshold - share)
    # where every document agrees, each counts once
    unanimous = np.where(gap > 0, rate**n_groups, 1.0)
    student = special.stdtr(usable - 1, -gap / np.where(error > 0, error, 1.0))
    p_clustered = np.where(error > 0, student, unanimous)
    return np.where(n_groups < 5, 1.0, np.maximum(p_values, p_clustered))
