"""Can a connector's equations be read? How much of an output few of its terms carry.

    carried(k) = 1 - sum (F - act(b + sum over the k largest terms of w f + mean of the others))^2 / sum (F - mean F)^2

Terms are ordered by attribution `|w| rms(f)`, the order in which equations print them; those that are dropped stay at
their mean, so that no constant is wrong. Range (-inf, 1]; 1: the k terms are the feature. Undefined (NaN) for an output
that never varies.

Axis glossary: ``token`` rows, ``input`` / ``output`` features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.connectors.connector import Connector

CARRIED = 0.8
"""An equation is said to carry its output where its terms leave a fifth of the variance or less."""


def variance_carried(
    connector: Connector,
    inputs: Float[Tensor, "token input"],
    outputs: Float[Tensor, "token output"],
    counts: Sequence[int],
    chosen: Sequence[int] | None = None,
) -> Float[Tensor, "count chosen"]:
    """Share of each output's variance that its `counts` largest terms carry, with the connector's own weights.

    chosen: output features (default: all), in the order of the columns returned. A count beyond an output's edges asks
    for all of them.
    """
    scale = inputs.square().mean(0).sqrt()
    chosen = range(connector.n_outputs) if chosen is None else chosen
    out = torch.full((len(counts), len(chosen)), torch.nan, dtype=torch.float64)
    for column, output in enumerate(chosen):
        truth = outputs[:, output].double()
        spread = (truth - truth.mean()).square().sum()
        if not spread > 0:
            continue
        edges = sorted(connector.edges(output), key=lambda edge: -abs(edge[1]) * float(scale[edge[0]]))
        sources, weights = [source for source, _ in edges], torch.tensor([weight for _, weight in edges])
        drives = (inputs[:, sources] * weights).double() if edges else inputs.new_zeros(len(inputs), 0).double()
        means = drives.mean(0)
        steps = torch.cat([drives.new_zeros(len(drives), 1), (drives - means).cumsum(1)], 1)
        base = float(connector.bias[output]) + means.sum()
        for row, count in enumerate(counts):
            made = base + steps[:, min(count, len(edges))]
            made = made.relu() if connector.activation == "relu" else made
            out[row, column] = 1 - (truth - made).square().sum() / spread
    return out
