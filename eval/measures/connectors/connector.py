"""Sparse maps from one dictionary's features to the next one's: a connector is

    F_out ~ act(W F_in + b),    W sparse, act linear or ReLU,

after the feature-connector post [FC]. Which few features of the layer before decide each feature of the layer after?

Axis glossary: ``token`` rows (tokens or images), ``active`` the features kept in a row, ``input`` / ``output``
features, ``edge`` non-zero weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError, known_name
from eval.measures.connectors.fit_options import ACTIVATIONS
from eval.measures.dictionaries.dictionary_kernels import decode_active
from eval.measures.dictionaries.feature_rows import FeatureRows


@dataclass(frozen=True)
class Connector:
    """A sparse map ``act(W f + b)`` in compressed rows: the edges of output ``i`` are ``starts[i]:starts[i + 1]``.

    starts: [output + 1]; inputs: [edge] input feature of each edge; weights: [edge]; bias: [output].
    n_inputs: input features; activation: ``"linear"`` or ``"relu"``; description: provenance, plain JSON.
    """

    starts: Int[Tensor, " outputs_and_one"]
    inputs: Int[Tensor, " edge"]
    weights: Float[Tensor, " edge"]
    bias: Float[Tensor, " output"]
    n_inputs: int
    activation: str = "relu"
    description: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dense(
        cls, weight: Float[Tensor, "input output"], bias: Tensor, activation: str, **description: Any
    ) -> Connector:
        """Keep the non-zero weights of a dense matrix."""
        known_name(activation, ACTIVATIONS, "connector activation")
        by_output = weight.T
        rows, inputs = by_output.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(by_output))
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        values = by_output[rows, inputs].clone()
        return cls(starts, inputs, values, bias.clone(), weight.shape[0], activation, description)

    @property
    def n_outputs(self) -> int:
        return len(self.bias)

    @property
    def n_edges(self) -> int:
        return len(self.weights)

    @property
    def edges_per_output(self) -> float:
        """Mean number of edges per output feature, silent output features included."""
        return self.n_edges / max(1, self.n_outputs)

    @property
    def outputs(self) -> Int[Tensor, " edge"]:
        """The output feature of each edge."""
        return torch.repeat_interleave(torch.arange(self.n_outputs), self.starts.diff())

    def edges(self, output: int) -> list[tuple[int, float]]:
        """``(input feature, weight)`` of one output feature, largest magnitude first.

        Raises:
            UserError: no such output feature.
        """
        if not 0 <= output < self.n_outputs:
            raise UserError(f"expected an output feature in 0..{self.n_outputs - 1}; got {output}; choose one of those")
        span = slice(int(self.starts[output]), int(self.starts[output + 1]))
        pairs = zip(self.inputs[span].tolist(), self.weights[span].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: -abs(pair[1]))

    def dense(self) -> Float[Tensor, "input output"]:
        """The weights as a matrix [input output] in float32."""
        out = torch.zeros(self.n_inputs, self.n_outputs)
        out[self.inputs, self.outputs] = self.weights.float()
        return out

    def with_weights(self, weights: Tensor, **description: Any) -> Connector:
        """The same edges with other weights; edges whose weight is 0 are dropped."""
        kept = weights != 0
        counts = torch.bincount(self.outputs[kept], minlength=self.n_outputs)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        words = {**self.description, **description}
        return Connector(starts, self.inputs[kept], weights[kept], self.bias, self.n_inputs, self.activation, words)

    def predictor(self) -> Callable[[FeatureRows], Float[Tensor, "token output"]]:
        """A function from feature rows to predicted output features; makes the matrix dense once, use it per batch."""
        weight, bias = self.dense(), self.bias.float()
        relu = self.activation == "relu"

        def predict(features: FeatureRows) -> Tensor:
            if features.width != self.n_inputs:
                raise UserError(
                    f"expected {self.n_inputs} input features; got {features.width}; "
                    "use the dictionary this connector was trained on"
                )
            out = decode_active(features.indices, features.values.float(), weight) + bias
            return out.relu_() if relu else out

        return predict
