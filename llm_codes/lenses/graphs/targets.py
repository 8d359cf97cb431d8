"""What a graph explains: the most probable next tokens, one token, or the difference of two logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.configs.graphs import GraphOptions
from llm_codes.lenses.graphs.frozen import FrozenModel
from llm_codes.models import Model


@dataclass(frozen=True)
class LogitTarget:
    """One thing explained, at the last position.

    label: in words; token: its id (of the first of two); against: the second's, or none.
    probability: of the token under the model. weight: in influence. value: the logit minus the mean logit, or the
    difference of two.
    """

    label: str
    token: int
    against: int | None
    probability: float
    weight: float
    value: float


def logit_targets(model: Model, frozen: FrozenModel, options: GraphOptions) -> tuple[LogitTarget, ...]:
    """The targets that the options name.

    Raises:
        UserError: a target that is no single token of the vocabulary.
    """
    logits = frozen.logits.double()
    probabilities = logits.softmax(0)
    centred = logits - logits.mean()
    if options.target:
        token = one_token(model, options.target)
        against = one_token(model, options.against) if options.against else None
        value = centred[token] if against is None else logits[token] - logits[against]
        label = options.target if against is None else f"{options.target} - {options.against}"
        return (LogitTarget(label, token, against, float(probabilities[token]), 1.0, float(value)),)
    ordered = probabilities.sort(descending=True)
    enough = int((ordered.values.cumsum(0) < options.probability).sum()) + 1
    tokens = ordered.indices[: min(enough, options.top_logits)].tolist()
    labels = model.token_strings(tokens)
    return tuple(
        LogitTarget(label, token, None, float(probabilities[token]), float(probabilities[token]), float(centred[token]))
        for label, token in zip(labels, tokens, strict=True)
    )


def one_token(model: Model, text: str) -> int:
    """The id of a text that is one token.

    Raises:
        UserError: it is several, or none.
    """
    ids = model.encode(text)
    if len(ids) != 1:
        pieces = " + ".join(repr(piece) for piece in model.token_strings(ids)) or "nothing"
        raise UserError(
            f"expected a target that is one token of {model.name}; got {text!r}, which is {pieces}; give one of its "
            "tokens (a leading space belongs to a token)"
        )
    return ids[0]


def readings(frozen: FrozenModel, targets: tuple[LogitTarget, ...]) -> Float[Tensor, "target width"]:
    """What each target reads of the last residual stream, the final norm's denominator included."""
    columns = torch.stack([_column(frozen, target) for target in targets])
    return frozen.final.read(columns.T).T / frozen.final.scale[-1]


def constants(frozen: FrozenModel, targets: tuple[LogitTarget, ...]) -> Float[Tensor, " target"]:
    """What each target is whatever the residual stream holds."""
    bias = frozen.unembedding_bias
    own = [bias[target.token] - (bias.mean() if target.against is None else bias[target.against]) for target in targets]
    return torch.stack([_column(frozen, target) for target in targets]) @ frozen.final.bias + torch.stack(own)


def _column(frozen: FrozenModel, target: LogitTarget) -> Tensor:
    matrix = frozen.unembedding
    other = matrix.mean(1) if target.against is None else matrix[:, target.against]
    return matrix[:, target.token] - other
