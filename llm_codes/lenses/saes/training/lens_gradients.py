"""Losses of sae-lens' standard, JumpReLU and gated training classes, and their gradients, at the active features only.

sae-lens differentiates dense products of batch x width x features: six in a step of a standard dictionary, fifteen of a
gated one. With a few dozen active features of thousands only the encoding has to be dense; a standard dictionary, half
of whose features are active at the start, is differentiated densely while more than `DENSE` of them are. A transcoder
reads rows and is compared with others (`target`); of an SAE both are the same. The losses are those of
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
    ByFeature,
    accumulate_active,
    accumulate_both,
    decode_active,
    dots_active,
    sums_by_feature,
)
from eval.measures.dictionaries.selection import Chosen, above, counts_above

DENSE = 0.12  # share of active features above which five dense products are cheaper than the sparse ones


@dataclass(frozen=True)
class Pass:
    """A batch through a dictionary: its loss, squared error, which features fired how often, gradients by parameter.

    scores: what is compared with a gate: what the encoder reads, with its bias where it has one of its own.
    chosen, floor: all scores above their feature's floor, where a gate decides.
    """

    loss: float
    error: float
    fired: Float[Tensor, " feature"]
    scores: Float[Tensor, "row feature"]
    gradients: dict[str, Tensor]
    chosen: Chosen | None = None
    floor: Float[Tensor, " feature"] | None = None


def differentiated(
    sae: Any, architecture: str, x: Float[Tensor, "row d_in"], coefficient: float, target: Tensor | None = None
) -> Pass:
    """Loss and gradients of sae-lens' training class of an architecture, at this coefficient of its penalty.

    target: what is to be written, where that is not x.
    """
    kinds = {"standard": _standard, "jumprelu": _jumprelu, "jumprelu-transcoder": _jumprelu, "gated": _gated}
    return kinds[architecture](sae, x, coefficient, x if target is None else target)


def scores_of(sae: Any, x: Float[Tensor, "row d_in"]) -> Float[Tensor, "row feature"]:
    """What the encoder reads, with its bias where it has one of its own (a gated dictionary's are its gates')."""
    return _scores(sae, _centred(sae, x))


def _scores(sae: Any, centred: Tensor) -> Tensor:
    bias = getattr(sae, "b_enc", None)
    return centred @ sae.W_enc.data if bias is None else torch.addmm(bias.data, centred, sae.W_enc.data)


def _centred(sae: Any, x: Tensor) -> Tensor:
    return x - sae.b_dec.data if sae.cfg.apply_b_dec_to_input else x


def _by_feature(sae: Any, chosen: Chosen, values: Tensor) -> Float[Tensor, " feature"]:
    """Values of the active features summed over rows."""
    return sums_by_feature(chosen.indices, values, chosen.counts, sae.cfg.d_sae)


def real_entries(chosen: Chosen) -> Tensor:
    """Which entries are features, not what fills up a row."""
    return torch.arange(chosen.indices.shape[1], device=chosen.counts.device) < chosen.counts[:, None]


class _Written:
    """What values of chosen features write, how far it is from the target, and the gradients of that."""

    def __init__(self, sae: Any, chosen: Chosen, values: Tensor, target: Tensor) -> None:
        self.sae, self.chosen, self.values = sae, chosen, values
        missed = decode_active(chosen.indices, values, sae.W_dec.data, chosen.counts).add_(sae.b_dec.data).sub_(target)
        self.error = float(missed.square().sum())
        self.of_out = missed.mul_(2 / len(target))

    def of_values(self) -> Float[Tensor, "row active"]:
        return dots_active(self.of_out, self.sae.W_dec.data, self.chosen.indices, self.chosen.counts)

    def with_encoder(self, of_scores: Tensor, centred: Tensor, rates: Tensor | None = None) -> ByFeature:
        """Gradients of the decoder (first) and of what the encoder reads (second).

        rates: by feature, of an L1 penalty: weight over the decoder's norm.
        """
        shrink = None if rates is None else (rates, self.sae.W_dec.data)
        pairs = (self.values, self.of_out), (of_scores, centred)
        return accumulate_both(self.chosen.indices, self.chosen.counts, *pairs, self.sae.cfg.d_sae, shrink)

    def of_decoder(self) -> Float[Tensor, "feature d_out"]:
        return accumulate_active(self.chosen.indices, self.values, self.of_out, self.sae.cfg.d_sae)


def _of_encoder(sae: Any, found: ByFeature, of_out: Tensor) -> dict[str, Tensor]:
    """Gradients of the encoder, and of the decoder's bias, which is taken off its input and written."""
    of_bias = of_out.sum(0)
    if sae.cfg.apply_b_dec_to_input:
        of_bias -= sae.W_enc.data @ found.second_sums
    return {"W_enc": found.second.T.contiguous(), "b_dec": of_bias}


def _penalty(sae: Any, coefficient: float, rows: int) -> tuple[Tensor, Tensor]:
    """Of an L1 of values times decoder norms, by feature: its gradient for a value, and its pull on a decoder vector
    per unit of summed values and length."""
    norms, weight = sae.W_dec.data.norm(dim=1), coefficient / rows
    return weight * norms, weight / norms.clamp_min(1e-12)


def _standard(sae: Any, x: Tensor, coefficient: float, target: Tensor) -> Pass:
    centred, floor = _centred(sae, x), torch.zeros_like(sae.b_enc.data)
    scores = _scores(sae, centred)
    counts = counts_above(scores, floor)
    if int(counts.sum()) > DENSE * scores.numel():
        return _standard_dense(sae, centred, scores, coefficient, target)
    chosen, (by_value, rates) = above(scores, floor, counts), _penalty(sae, coefficient, len(x))
    written = _Written(sae, chosen, chosen.values, target)
    found = written.with_encoder(written.of_values().add_(by_value[chosen.indices]), centred, rates)
    gradients = _of_encoder(sae, found, written.of_out)
    gradients |= {"b_enc": found.second_sums, "W_dec": found.first}
    loss = written.error / len(x) + float(found.first_sums @ by_value)
    return Pass(loss, written.error, found.counts, scores, gradients)


def _standard_dense(sae: Any, centred: Tensor, scores: Tensor, coefficient: float, target: Tensor) -> Pass:
    """The same with dense products."""
    (by_value, rates), values = _penalty(sae, coefficient, len(target)), scores.relu()
    missed = torch.addmm(sae.b_dec.data, values, sae.W_dec.data).sub_(target)
    error = float(missed.square().sum())
    of_out = missed.mul_(2 / len(target))
    of_values = torch.addmm(by_value, of_out, sae.W_dec.data.T)
    of_scores = torch.where(scores <= 0, torch.zeros((), device=scores.device), of_values)
    total, of_bias, of_b_dec = values.sum(0), of_scores.sum(0), of_out.sum(0)
    if sae.cfg.apply_b_dec_to_input:
        of_b_dec -= sae.W_enc.data @ of_bias
    gradients = {"W_enc": centred.T @ of_scores, "b_enc": of_bias, "b_dec": of_b_dec}
    gradients["W_dec"] = ((rates * total)[:, None] * sae.W_dec.data).addmm_(values.T, of_out)
    fired = torch.count_nonzero(values, 0).to(values.dtype)
    return Pass(error / len(target) + float(total @ by_value), error, fired, scores, gradients)


def _jumprelu(sae: Any, x: Tensor, coefficient: float, target: Tensor) -> Pass:
    """Active features, and those within half a bandwidth of their threshold, which decide its gradient."""
    threshold, width = sae.threshold.data.clamp_(min=0.0), sae.bandwidth
    centred = _centred(sae, x)
    scores = _scores(sae, centred)
    floor = threshold - width / 2
    chosen = above(scores, floor)
    limit, real = threshold[chosen.indices], real_entries(chosen)
    over = chosen.values - limit
    on, near = (over > 0) & real, ((over / width).abs() < 0.5) & real
    written = _Written(sae, chosen, chosen.values * on, target)
    of_values = written.of_values()
    of_limit = near * (limit * of_values + coefficient / len(x)) / -width
    found = written.with_encoder(of_values * on, centred)
    gradients = _of_encoder(sae, found, written.of_out)
    gradients |= {"b_enc": found.second_sums, "W_dec": found.first}
    gradients["threshold"] = _by_feature(sae, chosen, of_limit)
    loss = (written.error + coefficient * float(found.counts.sum())) / len(x)
    return Pass(loss, written.error, found.counts, scores, gradients, chosen, floor)


def _gated(sae: Any, x: Tensor, coefficient: float, target: Tensor) -> Pass:
    """Both paths are decoded at the features whose gate is open."""
    centred, stretch = _centred(sae, x), sae.r_mag.data.exp()
    scores, (by_value, rates) = _scores(sae, centred), _penalty(sae, coefficient, len(x))
    chosen = above(scores, -sae.b_gate.data)
    real = real_entries(chosen)
    opened = (chosen.values + sae.b_gate.data[chosen.indices]) * real
    stretched = chosen.values * stretch[chosen.indices]
    values = (stretched + sae.b_mag.data[chosen.indices]).relu_() * real
    written, by_gate = _Written(sae, chosen, values, target), _Written(sae, chosen, opened, target)
    of_gate = by_gate.of_values().add_(by_value[chosen.indices])
    of_values = written.of_values() * (values > 0)
    found = by_gate.with_encoder(of_values * stretch[chosen.indices] + of_gate, centred, rates)
    gradients = _of_encoder(sae, found, written.of_out + by_gate.of_out)
    gradients["W_dec"] = found.first.add_(written.of_decoder())
    gradients["b_gate"] = _by_feature(sae, chosen, of_gate)
    gradients["b_mag"] = _by_feature(sae, chosen, of_values)
    gradients["r_mag"] = _by_feature(sae, chosen, of_values.mul_(stretched))
    fired = _by_feature(sae, chosen, (values > 0).to(values.dtype))
    loss = (written.error + by_gate.error) / len(x) + float(found.first_sums @ by_value)
    return Pass(loss, written.error, fired, scores, gradients, chosen, -sae.b_gate.data)
