"""The data of the one-way code: g^x mod p for primes p and their primitive roots g.

Axis glossary: ``triple`` (p, g, x) with 1 <= x <= p-1; y = g^x mod p.

For one (p, g), g a primitive root, x -> y is a bijection of 1..p-1: knowing y *is* knowing x under another name. Only
when (p, g) vary does y alone leave x open; `bayes_ceiling` says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toy.one_way.primes import check_primes, primitive_roots


@dataclass(frozen=True)
class Problem:
    """All triples of some primes, their targets, and one-hot inputs."""

    primes: tuple[int, ...]
    groups: Int[Tensor, "triple 2"]
    """(p, g) of each triple."""
    exponents: Int[Tensor, " triple"]
    values: Int[Tensor, " triple"]
    group_inputs: Float[Tensor, "triple group_input"]
    exponent_inputs: Float[Tensor, "triple exponent_input"]

    @property
    def n_classes(self) -> int:
        return max(self.primes)

    @property
    def inputs(self) -> Float[Tensor, "triple input"]:
        return torch.cat([self.group_inputs, self.exponent_inputs], 1)

    def bayes_ceiling(self) -> float:
        """Best possible accuracy of guessing x from y alone, all triples equally likely."""
        joint = torch.zeros(self.n_classes, self.n_classes)
        joint.index_put_((self.values, self.exponents), torch.ones(len(self.values)), accumulate=True)
        return float(joint.max(1).values.sum() / len(self.values))

    def chance(self) -> float:
        """Accuracy of always guessing the most frequent x."""
        return float(torch.bincount(self.exponents).max() / len(self.exponents))


def problem_of(primes: Sequence[int], fixed_root: bool = False) -> Problem:
    """Every (p, g, x): all primitive roots, or only the smallest one of each prime."""
    chosen = check_primes(primes)
    rows = []
    for prime in chosen:
        roots = primitive_roots(prime)
        for root in roots[:1] if fixed_root else roots:
            rows += [(prime, root, x, pow(root, x, prime)) for x in range(1, prime)]
    table = torch.tensor(rows)
    size = max(chosen)
    which = torch.tensor([chosen.index(prime) for prime, *_ in rows])
    one_hot = torch.nn.functional.one_hot
    groups = torch.cat([one_hot(which, len(chosen)), one_hot(table[:, 1], size)], 1).float()
    return Problem(chosen, table[:, :2], table[:, 2], table[:, 3], groups, one_hot(table[:, 2], size).float())
