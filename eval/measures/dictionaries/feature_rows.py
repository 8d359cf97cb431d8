"""Sparse feature activations of many tokens, as rows of (index, value): what dictionaries give and connectors read.

Axis glossary: ``token`` rows (tokens or images), ``active`` the features kept in a row, ``feature``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class FeatureRows:
    """Sparse feature activations of many tokens: ``indices`` and ``values`` [token active], ``width`` features.

    Rows with fewer active features are padded with value 0. Non-negative values are the usual case, not required.
    """

    indices: Int[Tensor, "token active"]
    values: Float[Tensor, "token active"]
    width: int

    @classmethod
    def from_dense(cls, features: Float[Tensor, "token feature"], most: int | None = None) -> FeatureRows:
        """The non-zero entries of a dense batch; at most the ``most`` largest of each row where given."""
        count = int((features != 0).sum(1).max()) if len(features) else 0
        count = max(1, count if most is None else min(most, count))
        values, indices = features.abs().topk(count, dim=1)
        return cls(indices, torch.gather(features, 1, indices), features.shape[1])

    @classmethod
    def concatenate(cls, parts: list[FeatureRows]) -> FeatureRows:
        """Rows of several batches in order, padded to a common number of active features."""
        most = max(part.indices.shape[1] for part in parts)

        def padded(tensor: Tensor) -> Tensor:
            return torch.nn.functional.pad(tensor, (0, most - tensor.shape[1]))

        indices = torch.cat([padded(part.indices) for part in parts])
        return cls(indices, torch.cat([padded(part.values) for part in parts]), parts[0].width)

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self, which: Any) -> FeatureRows:
        """The chosen tokens."""
        return FeatureRows(self.indices[which], self.values[which], self.width)

    def dense(self) -> Float[Tensor, "token feature"]:
        """All features of these tokens; call it on a batch, not on a corpus."""
        out = self.values.new_zeros(len(self), self.width)
        return out.scatter_add_(1, self.indices, self.values)

    def mean(self) -> Float[Tensor, " feature"]:
        """Mean activation of each feature."""
        return self._sum(self.values) / max(1, len(self))

    def root_mean_square(self) -> Float[Tensor, " feature"]:
        """Root mean square activation of each feature."""
        return (self._sum(self.values**2) / max(1, len(self))).sqrt()

    def density(self) -> Float[Tensor, " feature"]:
        """Share of tokens on which each feature is active."""
        return self._sum((self.values != 0).to(self.values.dtype)) / max(1, len(self))

    def _sum(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.width).index_add_(0, self.indices.flatten(), values.flatten())

    def columns(self, features: Sequence[int]) -> Float[Tensor, "token chosen"]:
        """The activations of several features on every token, in one pass over the rows."""
        place = torch.full((self.width,), -1)
        place[list(features)] = torch.arange(len(features))
        chosen = place[self.indices]
        token, active = (chosen >= 0).nonzero(as_tuple=True)
        out = self.values.new_zeros(len(self), len(features))
        return out.index_put_((token, chosen[token, active]), self.values[token, active], accumulate=True)

    def column(self, feature: int) -> Float[Tensor, " token"]:
        """One feature's activation on every token."""
        return torch.where(self.indices == feature, self.values, 0).sum(1)
