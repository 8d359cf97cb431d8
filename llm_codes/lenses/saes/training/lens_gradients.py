"""Losses of sae-lens' standard, JumpReLU and gated training classes, and their gradients, at the active features only.

sae-lens differentiates dense products of batch x width x features: six in a step of a standard dictionary, fifteen of a
gated one. With a few dozen active features of thousands only the encoding has to be dense. The losses are those of
`training_forward_pass` with its defaults (L1 with decoder norms; the step penalty and the straight-through estimate of
thresholds [Rajamanoharan et al. 2024, Jumping Ahead, section 3]; the gate's own reconstruction [Rajamanoharan et al.
2024, Improving dictionary learning, section 3]), which the tests use as the oracle. Axes: row, feature, active.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.dictionaries.dictionary_kernels import (
    accumulate_active,
    decode_active,
    dots_active,
    sums_by_feature,
)
from eval.measures.dictionaries.selection import Chosen, above


@dataclass(frozen=True)
class Pass:
    """A batch through a dictionary: its loss, squared error, which features fired how often, gradients by parameter.

    scores: what is compared with a gate: what the encoder reads, with its bias where it has one of its own.
    """

    loss: float
    error: float
    fired: Float[Tensor, " feature"]
    scores: Float[Tensor, "row feature"]
    gradients: dict[str, Tensor]


def differentiated(sae: Any, architecture: str, x: Float[Tensor, "row d_in"], coefficient: float) -> Pass:
    """Loss and gradients of sae-lens' training class of an architecture, at this coefficient of its penalty."""
    return {"standard": _standard, "jumprelu": _jumprelu, "gated": _gated}[architecture](sae, x, coefficient)


def scores_of(sae: Any, x: Float[Tensor, "row d_in"]) -> Float[Tensor, "row feature"]:
    """What the encoder reads, with its bias where it has one of its own (a gated dictionary's are its gates')."""
    bias = getattr(sae, "b_enc", None)
    centred = _centred(sae, x)
    return centred @ sae.W_enc.data if bias is None else torch.addmm(bias.data, centred, sae.W_enc.data)


def _centred(sae: Any, x: Tensor) -> Tensor:
    return x - sae.b_dec.data if sae.cfg.apply_b_dec_to_input else x


def _by_feature(sae: Any, chosen: Chosen, values: Tensor) -> Float[Tensor, " feature"]:
    """Values of the active features summed over rows."""
    return sums_by_feature(chosen.indices, values, chosen.counts, sae.cfg.d_sae)


def _real(chosen: Chosen) -> Tensor:
    """Which entries are features, not what fills up a row."""
    return torch.arange(chosen.indices.shape[1], device=chosen.counts.device) < chosen.counts[:, None]


class _Written:
    """What values of chosen features write, how far it is from the rows, and the gradients of that."""

    def __init__(self, sae: Any, chosen: Chosen, values: Tensor, x: Tensor) -> None:
        self.sae, self.chosen, self.values = sae, chosen, values
        missed = decode_active(chosen.indices, values, sae.W_dec.data, chosen.counts) + sae.b_dec.data - x
        self.error = float(missed.square().sum())
        self.of_out = missed * (2 / len(x))

    def of_values(self) -> Float[Tensor, "row active"]:
        return dots_active(self.of_out, self.sae.W_dec.data, self.chosen.indices, self.chosen.counts)

    def of_decoder(self) -> Float[Tensor, "feature d_in"]:
        return accumulate_active(self.chosen.indices, self.values, self.of_out, self.sae.cfg.d_sae)


def _of_encoder(sae: Any, x: Tensor, chosen: Chosen, of_scores: Tensor, of_out: Tensor) -> dict[str, Tensor]:
    """Gradients of what the encoder reads, and of the decoder's bias, which is taken off its input and written."""
    of_weights = accumulate_active(chosen.indices, of_scores, _centred(sae, x), sae.cfg.d_sae)
    of_bias = of_out.sum(0)
    if sae.cfg.apply_b_dec_to_input:
        of_bias -= sae.W_enc.data @ _by_feature(sae, chosen, of_scores)
    return {"W_enc": of_weights.T.contiguous(), "b_dec": of_bias}


def _penalty(sae: Any, chosen: Chosen, values: Tensor, weight: float) -> tuple[float, Tensor, Tensor]:
    """L1 of values times decoder norms at this weight; its gradients for the values and for the decoder."""
    norms = sae.W_dec.data.norm(dim=1)
    total = _by_feature(sae, chosen, values)
    of_decoder = (weight * total / norms.clamp_min(1e-12))[:, None] * sae.W_dec.data
    return weight * float(total @ norms), weight * norms[chosen.indices], of_decoder


def _standard(sae: Any, x: Tensor, coefficient: float) -> Pass:
    scores = scores_of(sae, x)
    chosen = above(scores, torch.zeros_like(sae.b_enc.data))
    written = _Written(sae, chosen, chosen.values, x)
    penalty, of_values, of_decoder = _penalty(sae, chosen, chosen.values, coefficient / len(x))
    of_scores = (written.of_values() + of_values) * (chosen.values > 0)
    gradients = _of_encoder(sae, x, chosen, of_scores, written.of_out)
    gradients |= {"b_enc": _by_feature(sae, chosen, of_scores), "W_dec": written.of_decoder() + of_decoder}
    fired = _by_feature(sae, chosen, (chosen.values > 0).float())
    return Pass(written.error / len(x) + penalty, written.error, fired, scores, gradients)


def _jumprelu(sae: Any, x: Tensor, coefficient: float) -> Pass:
    """Active features, and those within half a bandwidth of their threshold, which decide its gradient."""
    threshold, width = sae.threshold.data.clamp_(min=0.0), sae.bandwidth
    scores = scores_of(sae, x)
    chosen = above(scores, threshold - width / 2)
    limit = threshold[chosen.indices]
    on = (chosen.values > limit) & _real(chosen)
    written = _Written(sae, chosen, chosen.values * on, x)
    of_values = written.of_values()
    near = (((chosen.values - limit) / width).abs() < 0.5) & _real(chosen)
    of_limit = near * (limit * of_values + coefficient / len(x)) / -width
    of_scores = of_values * on
    gradients = _of_encoder(sae, x, chosen, of_scores, written.of_out)
    gradients |= {"b_enc": _by_feature(sae, chosen, of_scores), "W_dec": written.of_decoder()}
    gradients["threshold"] = _by_feature(sae, chosen, of_limit)
    fired = _by_feature(sae, chosen, on.float())
    loss = (written.error + coefficient * float(fired.sum())) / len(x)
    return Pass(loss, written.error, fired, scores, gradients)


def _gated(sae: Any, x: Tensor, coefficient: float) -> Pass:
    """Both paths are decoded at the features whose gate is open."""
    scores, stretch = scores_of(sae, x), sae.r_mag.data.exp()
    chosen = above(scores, -sae.b_gate.data)
    real = _real(chosen)
    opened = (chosen.values + sae.b_gate.data[chosen.indices]) * real
    stretched = chosen.values * stretch[chosen.indices]
    values = (stretched + sae.b_mag.data[chosen.indices]).relu() * real
    written, by_gate = _Written(sae, chosen, values, x), _Written(sae, chosen, opened, x)
    penalty, of_opened, of_decoder = _penalty(sae, chosen, opened, coefficient / len(x))
    of_gate = (by_gate.of_values() + of_opened) * real
    of_values = written.of_values() * (values > 0)
    of_scores = of_values * stretch[chosen.indices] + of_gate
    gradients = _of_encoder(sae, x, chosen, of_scores, written.of_out + by_gate.of_out)
    gradients["W_dec"] = written.of_decoder() + by_gate.of_decoder() + of_decoder
    gradients["b_gate"] = _by_feature(sae, chosen, of_gate)
    gradients["b_mag"] = _by_feature(sae, chosen, of_values)
    gradients["r_mag"] = _by_feature(sae, chosen, of_values * stretched)
    fired = _by_feature(sae, chosen, (values > 0).float())
    loss = (written.error + by_gate.error) / len(x) + penalty
    return Pass(loss, written.error, fired, scores, gradients)
