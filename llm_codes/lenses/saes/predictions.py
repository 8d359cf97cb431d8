"""Next-token predictions with parts of the model replaced: which count, and sums of what they lose, by document.

Axes: batch, position (the last has nothing to predict), vocabulary, document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from llm_codes.corpus import Batch
from llm_codes.models import Model


def keep_first(activation: Tensor, replacement: Tensor, exclude_positions: int) -> Tensor:
    """The replacement (of rows, or in shape) in the activation's shape and dtype, with the first positions as they
    were."""
    out = replacement.reshape(*activation.shape[:-1], -1).to(activation.dtype).clone()
    out[:, :exclude_positions] = activation[:, :exclude_positions]
    return out


def counted(batch: Batch, exclude_positions: int) -> Bool[Tensor, "batch predicted"]:
    """Which predictions count: those of a text token, made from a position that is not left out."""
    keep = batch.mask[:, 1:].clone()
    keep[:, :exclude_positions] = False
    return keep


def log_probabilities(
    model: Model, batch: Batch, hooks: Sequence[Any] = ()
) -> Float[Tensor, "batch predicted vocabulary"]:
    """Of every next token, with interventions."""
    return model.logits(batch.tokens, hooks)[:, :-1].float().log_softmax(-1)


def losses(log: Float[Tensor, "batch predicted vocabulary"], batch: Batch) -> Float[Tensor, "batch predicted"]:
    """Cross-entropy of each next token, nats."""
    return -log.gather(-1, batch.tokens[:, 1:, None].to(log.device))[..., 0]


def divergences(
    own: Float[Tensor, "batch predicted vocabulary"], replaced: Float[Tensor, "batch predicted vocabulary"]
) -> Float[Tensor, "batch predicted"]:
    """KL(own || replaced) of each prediction, nats."""
    return (own - replaced).mul_(own.exp()).sum(-1)


def add_by_document(sums: np.ndarray, batch: Batch, values: Tensor, keep: Tensor) -> None:
    """Add the values that count to the sums of their windows' documents."""
    np.add.at(sums, batch.document.numpy(), (values.cpu() * keep).double().sum(1).numpy())
