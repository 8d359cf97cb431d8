"""From one layer's features to the next: the analytic start, the reader's metric, what a connector writes.

Axis glossary: ``image``, ``unit`` of a hidden layer, ``feature`` of a dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.connectors.connector import Connector
from eval.measures.connectors.fit import ConnectorFit, fit_connector
from eval.measures.dictionaries.dictionary import TopKDictionary
from eval.measures.dictionaries.feature_rows import FeatureRows
from vision_codes.lenses.unwrap.results import Starts

MOST_WRITTEN = 128
"""Features of one image that a connector hands on, largest first."""


def analytic_start(
    layer: torch.nn.Linear, first: TopKDictionary, second: TopKDictionary, h: Float[Tensor, "image unit"]
) -> tuple[Tensor, Tensor]:
    """``W = E_2 J D_1`` with J the layer's Jacobian averaged over images (share of images on which each unit is on)."""
    pre = layer(h)
    jacobian = (pre > 0).float().mean(0)[:, None] * layer.weight
    weight = first.vectors @ jacobian.T @ second.encoder.T
    at_mean = pre.relu().mean(0) + jacobian @ (first.offset - h.mean(0)) - second.input_bias
    return weight, at_mean @ second.encoder.T + second.encoder_bias


def as_read(vectors: Float[Tensor, "feature unit"], reader: torch.nn.Linear) -> Float[Tensor, "feature both"]:
    """Feature vectors as the layer holds them, and beside them as the next layer reads them, each half of the error."""
    read = vectors @ reader.weight.T
    return torch.cat([vectors, read * (vectors.norm() / read.norm().clamp_min(1e-12))], dim=1)


def rows_of(connector: Connector, features: FeatureRows, most: int = MOST_WRITTEN) -> FeatureRows:
    """What a connector writes, in sparse form."""
    predict = connector.predictor()
    parts = [predict(features.rows(batch)) for batch in torch.arange(len(features)).split(4096)]
    return FeatureRows.concatenate([FeatureRows.from_dense(part, most) for part in parts])


def starts(
    layer: torch.nn.Linear,
    dictionaries: Sequence[TopKDictionary],
    hidden: Float[Tensor, "image unit"],
    features: Sequence[FeatureRows],
    seed: int,
) -> Starts:
    """[FC]'s comparison of starts: mean squared error plus L1, feature by feature, from analytic and random weights.

    The control starts from the entries of the analytic weights in random places: as large, and with nothing of what
    the layer computes.
    """
    start = analytic_start(layer, dictionaries[0], dictionaries[1], hidden[:4096])
    options = ConnectorFit(l1=0.001, edges_per_output=None, steps=250, refit_steps=0, fit_batch_size=512)

    def losses(initial: tuple[Tensor, Tensor] | None) -> tuple[float, float]:
        found: list[float] = []
        fit_connector(
            features[0],
            features[1],
            options,
            initial=initial,
            seed=seed,
            every_step=lambda s, loss, w: found.append(loss),
        )
        return float(np.mean(found[:3])), float(np.mean(found[-20:]))

    return Starts(*losses(start), *losses(None), *losses(permuted(start, seed)))


def permuted(start: tuple[Tensor, Tensor], seed: int) -> tuple[Tensor, Tensor]:
    """The same weights in random places, and the same biases."""
    weight, bias = start
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(seed))
    return weight.flatten()[order].reshape(weight.shape), bias
