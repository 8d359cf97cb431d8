"""A dictionary of features: encode an activation into few features, decode features into an activation.

Axis glossary: ``row`` a token or image, ``feature`` dictionary elements, ``width`` the activation's dimension (``d_in``
read, ``d_out`` written; they differ for a transcoder).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.measures.dictionaries.dictionary_kernels import decode_active
from eval.measures.dictionaries.feature_rows import FeatureRows


@runtime_checkable
class Dictionary(Protocol):
    """What the suite needs of an SAE or transcoder, whoever trained it."""

    @property
    def n_features(self) -> int: ...

    @property
    def vectors(self) -> Float[Tensor, "feature d_out"]:
        """What one unit of each feature writes."""
        ...

    @property
    def offset(self) -> Float[Tensor, " d_out"]:
        """What is written when no feature is active."""
        ...

    def encode(self, activations: Float[Tensor, "row d_in"]) -> Float[Tensor, "row feature"]: ...

    def decode(self, features: Float[Tensor, "row feature"]) -> Float[Tensor, "row d_out"]: ...


@dataclass(frozen=True)
class TopKDictionary:
    """``features = topk_k(relu(encoder (x - input_bias) + encoder_bias))``, ``x' = features decoder + decoder_bias``.

    The k largest are chosen on ``feature * |decoder row|``, i.e. by how much they would write. ``threshold`` (instead
    of k): keep what writes more than it, whatever the count (what a batch-TopK dictionary uses after training).
    """

    encoder: Float[Tensor, "feature d_in"]
    encoder_bias: Float[Tensor, " feature"]
    decoder: Float[Tensor, "feature d_out"]
    decoder_bias: Float[Tensor, " d_out"]
    input_bias: Float[Tensor, " d_in"]
    k: int = 0
    threshold: float | None = None

    @property
    def n_features(self) -> int:
        return len(self.decoder)

    @property
    def vectors(self) -> Tensor:
        return self.decoder

    @property
    def offset(self) -> Tensor:
        return self.decoder_bias

    def encode_rows(self, activations: Float[Tensor, "row d_in"]) -> FeatureRows:
        """Features in sparse form."""
        if activations.shape[-1] != self.encoder.shape[1]:
            raise UserError(
                f"expected activations {self.encoder.shape[1]} wide; got {activations.shape[-1]}; "
                "was this dictionary trained at another site?"
            )
        size = self.decoder.norm(dim=1)
        written = (torch.addmm(self.encoder_bias, activations - self.input_bias, self.encoder.T) * size).relu_()
        if self.threshold is not None:
            written = written * (written > self.threshold)
            return FeatureRows.from_dense(written / size.clamp_min(1e-12))
        values, indices = written.topk(min(self.k, self.n_features), dim=1)
        return FeatureRows(indices, values / size.clamp_min(1e-12)[indices], self.n_features)

    def encode(self, activations: Tensor) -> Tensor:
        return self.encode_rows(activations).dense()

    def decode(self, features: Tensor) -> Tensor:
        return features @ self.decoder + self.decoder_bias

    def decode_rows(self, rows: FeatureRows) -> Float[Tensor, "row d_out"]:
        """Decode sparse features."""
        return decode_active(rows.indices, rows.values, self.decoder) + self.decoder_bias


def encode_rows(dictionary: Dictionary, activations: Float[Tensor, "row d_in"], batch_size: int = 4096) -> FeatureRows:
    """Sparse features of many rows, one dense batch at a time."""
    own = getattr(dictionary, "encode_rows", None)
    parts = []
    for batch in activations.split(batch_size):
        parts.append(own(batch) if own is not None else FeatureRows.from_dense(dictionary.encode(batch)))
    return FeatureRows.concatenate(parts)
