"""Fit the edges that were kept once more, now on what the network does with them.

Each connector was fitted on its own layer. What counts after substitution is what comes out at the end, through both
connectors, so the kept weights and the biases (and nothing else) are fitted together:

    loss = T^2 KL(network's digits at temperature T || substituted network's)
           + e2 |h2' - h2|^2 / var(h2) + e3 |h3' - h3|^2 / var(h3)

with h2', h3' what the two dictionaries decode from the connectors' features. No label is used. Axes: image, feature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from eval.measures.connectors.connector import Connector
from eval.measures.dictionaries.dictionary import TopKDictionary
from eval.measures.dictionaries.feature_rows import FeatureRows


@dataclass(frozen=True)
class RefitOptions:
    """steps: gradient steps (0: leave the connectors as they are); learning_rate: Adam's at the start (cosine to 0), in
    units of the features' rms; temperature: of the digits; layer_error: weight of each layer's relative error;
    most: features of one image that the first connector hands on; batch_size; seed."""

    steps: int = 1000
    learning_rate: float = 0.003
    temperature: float = 2.0
    layer_error: float = 0.25
    most: int = 128
    batch_size: int = 512
    seed: int = 0


def largest(features: Float[Tensor, "image feature"], most: int) -> Float[Tensor, "image feature"]:
    """The `most` largest features of each image; the others are 0."""
    if most >= features.shape[1]:
        return features
    return features * (features >= features.topk(most, dim=1).values[:, -1:])


def substituted(
    f1: Float[Tensor, "image feature"], weights: Sequence[Tensor], last: TopKDictionary, most: int
) -> tuple[Tensor, Tensor]:
    """Features of layer 2 and the activation of layer 3 with both layers replaced; `weights`: matrix, bias, twice."""
    f2 = (f1 @ weights[0] + weights[1]).relu()
    f3 = (largest(f2, most) @ weights[2] + weights[3]).relu()
    return f2, last.decode(f3)


def refit_through(
    connectors: Sequence[Connector],
    dictionaries: Sequence[TopKDictionary],
    features: Sequence[FeatureRows],
    hidden: Sequence[Float[Tensor, "image unit"]],
    read_out: Callable[[Float[Tensor, "image unit"]], Float[Tensor, "image digit"]],
    options: RefitOptions,
) -> list[Connector]:
    """Both connectors with the same edges and other weights.

    Args:
        connectors: F1 -> F2 and F2 -> F3. dictionaries: of the three layers. features: of the three layers, training
            images. hidden: h1, h2, h3 of the same images. read_out: h3 to digits.
    """
    if not options.steps:
        return list(connectors)
    rms = [rows.root_mean_square().clamp_min(1e-6) for rows in features]
    start, units, kept = [], [], []
    for connector, before, after in zip(connectors, rms[:2], rms[1:], strict=True):
        weight = connector.dense()
        kept.append(weight != 0)
        start += [weight, connector.bias]
        units += [(after / before[:, None]).clamp_max(50.0) * kept[-1], after]
    moved = _descend(start, units, dictionaries, features[0], hidden, read_out, options)
    return [
        Connector.from_dense(moved[2 * i] * kept[i], moved[2 * i + 1], connector.activation)
        for i, connector in enumerate(connectors)
    ]


def _descend(
    start: Sequence[Tensor],
    units: Sequence[Tensor],
    dictionaries: Sequence[TopKDictionary],
    f1: FeatureRows,
    hidden: Sequence[Tensor],
    read_out: Callable[[Tensor], Tensor],
    options: RefitOptions,
) -> list[Tensor]:
    """Adam on the change of each weight in units of the features' rms."""
    h2, h3 = (h[: len(f1)] for h in hidden[1:])
    spread = [float((h - h.mean(0)).square().sum(1).mean()) for h in (h2, h3)]
    change = [torch.zeros_like(value, requires_grad=True) for value in start]
    optimizer = torch.optim.Adam(change, lr=options.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(options.seed)
    with torch.enable_grad():
        for step in range(options.steps):
            optimizer.param_groups[0]["lr"] = (
                options.learning_rate * 0.5 * (1 + math.cos(math.pi * step / options.steps))
            )
            batch = torch.randint(0, len(f1), (options.batch_size,), generator=generator)
            weights = [value + delta * unit for value, delta, unit in zip(start, change, units, strict=True)]
            f2, out = substituted(f1.rows(batch).dense(), weights, dictionaries[2], options.most)
            loss = _divergence(read_out(h3[batch]), read_out(out), options.temperature)
            errors = (dictionaries[1].decode(f2) - h2[batch], out - h3[batch])
            for error, size in zip(errors, spread, strict=True):
                loss = loss + options.layer_error * error.square().sum(1).mean() / size
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [(value + delta * unit).detach() for value, delta, unit in zip(start, change, units, strict=True)]


def _divergence(teacher: Float[Tensor, "image digit"], student: Tensor, temperature: float) -> Float[Tensor, ""]:
    """``T^2 KL(softmax(teacher / T) || softmax(student / T))``, mean over images, nats."""
    wanted, found = ((logits / temperature).log_softmax(1) for logits in (teacher, student))
    return temperature**2 * functional.kl_div(found, wanted, log_target=True, reduction="batchmean")
