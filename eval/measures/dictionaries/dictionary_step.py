"""A training step for TopK dictionaries that multiplies densely once: to encode.

sae-lens' step makes six dense products of batch x width x features (encode, decode, and the four of the backward
pass). With k active features out of thousands, decoding and every gradient touch only k rows per token. The gradients
are written out here; the loss, the gradient clip, Adam and the auxiliary loss for dead features [Gao et al. 2024,
appendix A.2] are those of `sae_lens.training.SAETrainer`, which the tests use as the oracle.

    scores = (x - b) E^T + e,  chosen = the k largest of scores |d|,  x' = relu(scores_chosen) D + b
    loss   = mean over tokens of |x' - y|^2  (+ aux: dead features reconstruct y - x')

y = x for an SAE. For a transcoder y is another site's activation, and what is subtracted from x is not b but a fixed
``center``, the mean input: without it most features start on one side of the data and stay silent. With a skip map
[Paulo et al. 2025] x' has (x - center) S besides, S starting at 0: what is linear in the input needs no feature.

Axis glossary: ``row`` tokens of a batch, ``active`` chosen features, ``feature``, ``width`` (d_in, d_out).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.dictionaries.baselines import Constraint
from eval.measures.dictionaries.dictionary import TopKDictionary
from eval.measures.dictionaries.dictionary_kernels import (
    accumulate_active,
    decode_active,
    dots_active,
    sums_by_feature,
)
from eval.measures.dictionaries.selection import Chosen, Read, largest_by_row, largest_of_all
from eval.measures.dictionaries.step_options import StepOptions, learning_rate_at


class TopKTrainer:
    """Weights, Adam's state and counters of one dictionary under training. ``step`` advances it by one batch.

    Attributes:
        encoder, decoder: [feature width]; the same tensor where tied. encoder_bias, decoder_bias.
        skip: [d_in, d_out], without one empty.
        since_fired: [feature] steps since each feature last fired; fired: tokens on which it fired.
        step_count: steps taken. center: [d_in] what a transcoder subtracts from its input (an SAE: its decoder's bias).
    """

    def __init__(self, options: StepOptions, device: str = "cpu") -> None:
        self.options = options
        generator = torch.Generator().manual_seed(options.seed)
        d_out = options.d_out or options.d_in
        decoder = torch.randn(options.n_features, d_out, generator=generator)
        decoder = options.decoder_norm * decoder / decoder.norm(dim=1, keepdim=True)
        if options.is_transcoder:
            encoder = torch.randn(options.n_features, options.d_in, generator=generator)
            encoder = options.decoder_norm * encoder / encoder.norm(dim=1, keepdim=True)
        else:
            encoder = decoder if options.tied else decoder.clone()
        self.decoder = decoder.to(device)
        self.encoder = self.decoder if options.tied else encoder.to(device)
        self.encoder_bias = torch.zeros(options.n_features, device=device)
        self.center = torch.zeros(options.d_in, device=device)
        self.decoder_bias = torch.zeros(d_out, device=device)
        self.skip = torch.zeros(options.d_in if options.skip else 0, d_out, device=device)
        self.since_fired = torch.zeros(options.n_features, dtype=torch.int32, device=device)
        self.fired = torch.zeros(options.n_features, dtype=torch.float64, device=device)
        self.threshold = 0.0
        self.step_count = 0
        self.constraint = Constraint(options.baseline, self.decoder)
        self._new_optimizer()

    def _new_optimizer(self) -> None:
        self.optimizer = torch.optim.Adam(self.parameters().values(), lr=self.options.learning_rate, fused=True)

    def parameters(self) -> dict[str, Tensor]:
        """The tensors Adam moves, by name (no encoder where tied, no bias without one; not what a baseline freezes)."""
        named = {"encoder": self.encoder, "encoder_bias": self.encoder_bias}
        named |= {"decoder": self.decoder, "decoder_bias": self.decoder_bias}
        if self.options.tied:
            del named["encoder"]
        if not self.options.bias:
            del named["decoder_bias"]
        if self.options.skip:
            named["skip"] = self.skip
        return self.constraint.moved(named, "encoder", "decoder")

    @property
    def input_bias(self) -> Tensor:
        """What is subtracted from the input: the decoder's bias in an SAE, ``center`` in a transcoder."""
        return self.center if self.options.is_transcoder else self.decoder_bias

    @torch.no_grad()
    def step(self, x: Float[Tensor, "row d_in"], target: Float[Tensor, "row d_out"] | None = None) -> dict[str, float]:
        """One gradient step; returns ``loss``, ``l0``, ``fvu`` (of this batch), ``dead_share``, ``gradient_norm``.

        A step whose loss or gradient is not finite changes nothing and returns ``loss = nan``.
        """
        target = x if target is None else target
        read = self.read(x)
        error = decode_active(read.indices, read.values, self.decoder, read.counts) + self.decoder_bias - target
        if self.options.skip:
            error.addmm_(read.centred, self.skip)
        auxiliary, gradients = self.gradients(read, error)
        gradients["decoder_bias"] += error.sum(0) * (2 / len(x))
        loss = float(error.square().sum()) / len(x) + auxiliary
        norm = self.gradient_norm(gradients)
        if not math.isfinite(loss) or not math.isfinite(norm):
            return {"loss": math.nan}
        self.apply(gradients, norm)
        return {"loss": loss, **self.measured(read, error, target), "gradient_norm": norm}

    def read(self, x: Float[Tensor, "row d_in"]) -> Read:
        """The features that a batch makes active, and what their gradients need."""
        centred = x - self.input_bias
        size = self.decoder.norm(dim=1).clamp_min(1e-12)
        scores = torch.addmm(self.encoder_bias, centred, self.encoder.T).mul_(size)
        chosen, smallest = self._choose(scores)
        values = chosen.values.relu() / size[chosen.indices]
        return Read(centred, size, scores, chosen.indices, values, chosen.counts, smallest)

    def gradients(self, read: Read, error: Float[Tensor, "row d_out"]) -> tuple[float, dict[str, Tensor]]:
        """The loss of dead features, and the gradients of all but the decoder's bias, from what was written wrongly."""
        found = self.of_written(read, read.values, error)
        if self.options.skip:
            found["skip"] = read.centred.T @ error * (2 / len(error))
        dead = self.since_fired > self.options.dead_after
        if not self.options.auxiliary or not bool(dead.any()):
            return 0.0, found
        return self._auxiliary(read.scores, read.size, dead, read.centred, error, found), found

    def gradient_norm(self, gradients: Mapping[str, Tensor]) -> float:
        """Of the parameters that Adam moves."""
        return math.sqrt(sum(float(gradients[name].square().sum()) for name in self.parameters()))

    def measured(self, read: Read, error: Tensor, target: Tensor) -> dict[str, float]:
        """After a step: count what fired, move the threshold; ``l0``, ``fvu`` and ``dead_share`` of the batch."""
        self._count(read.indices, read.values)
        rate = self.options.threshold_rate if self.step_count > 1 else 1.0  # start at the first batch's, not at 0
        self.threshold = (1 - rate) * self.threshold + rate * read.smallest
        spread = float((target - target.mean(0)).square().sum())
        return {
            "l0": float((read.values > 0).sum()) / len(target),
            "fvu": float(error.square().sum()) / spread if spread else math.nan,
            "dead_share": float((self.since_fired > self.options.dead_after).float().mean()),
        }

    def _choose(self, scores: Float[Tensor, "row feature"]) -> tuple[Chosen, float]:
        """The active features with their scores, and the smallest score kept (k on average over the batch)."""
        if not self.options.batch_topk:
            return largest_by_row(scores, self.options.k), 0.0
        return largest_of_all(scores, self.options.k * len(scores))

    def of_written(self, read: Read, values: Float[Tensor, "row active"], error: Tensor) -> dict[str, Tensor]:
        """Gradients of the mean squared error that these values of the active features leave (0: not written)."""
        of_out, active = error * (2 / len(error)), values > 0
        return self._gradients(read.indices, values, read.centred, of_out, active, read.counts)

    def _gradients(
        self,
        indices: Tensor,
        values: Tensor,
        centred: Tensor,
        of_out: Tensor,
        active: Tensor | None,
        counts: Tensor,
    ) -> dict[str, Tensor]:
        """Gradients of every parameter given the gradient of the reconstruction; ``active`` masks what relu stopped."""
        n = self.options.n_features
        of_values = dots_active(of_out, self.decoder, indices, counts)
        if active is not None:
            of_values *= active
        of_encoder = accumulate_active(indices, of_values, centred, n)
        of_decoder = accumulate_active(indices, values, of_out, n)
        of_bias = sums_by_feature(indices, of_values, counts, n)
        of_decoder_bias = torch.zeros_like(self.decoder_bias)
        if not self.options.is_transcoder:
            of_decoder_bias -= of_bias @ self.encoder
        out = {"encoder_bias": of_bias, "decoder": of_decoder, "decoder_bias": of_decoder_bias}
        if self.options.tied:
            of_decoder += of_encoder
        else:
            out["encoder"] = of_encoder
        return out

    def _auxiliary(
        self, scores: Tensor, size: Tensor, dead: Tensor, centred: Tensor, error: Tensor, gradients: dict[str, Tensor]
    ) -> float:
        """The dead features' own reconstruction of the residual; adds its gradients, returns its loss."""
        n_dead = int(dead.sum())
        half = self.options.auxiliary_features or max(1, error.shape[1] // 2)
        scale = self.options.auxiliary * min(n_dead / half, 1.0)
        places = dead.nonzero().flatten()
        chosen = largest_by_row(scores[:, places], min(half, n_dead))
        indices = places[chosen.indices]
        values = chosen.values / size[indices]
        missed = decode_active(indices, values, self.decoder, chosen.counts) + error
        for name, gradient in self._gradients(
            indices, values, centred, missed * (2 * scale / len(error)), None, chosen.counts
        ).items():
            gradients[name] += gradient
        return scale * float(missed.square().sum()) / len(error)

    def apply(self, gradients: Mapping[str, Tensor], norm: float) -> None:
        """Adam's step, with gradients clipped as those of this norm."""
        factor = min(1.0, self.options.clip / (norm + 1e-6))
        for name, parameter in self.parameters().items():
            parameter.grad = gradients[name] if factor == 1.0 else gradients[name].mul_(factor)
        self.optimizer.param_groups[0]["lr"] = learning_rate_at(self.options, self.step_count)
        self.optimizer.step()
        self.constraint.hold(self.decoder)
        self.optimizer.zero_grad()
        self.step_count += 1

    def _count(self, indices: Tensor, values: Tensor) -> None:
        counts = torch.bincount(indices[values > 0], minlength=self.options.n_features)
        self.fired += counts
        self.since_fired += 1
        self.since_fired[counts > 0] = 0

    def dictionary(self) -> TopKDictionary:
        """The dictionary as it stands (shares the weights)."""
        threshold = self.threshold if self.options.batch_topk else None
        return TopKDictionary(
            self.encoder,
            self.encoder_bias,
            self.decoder,
            self.decoder_bias,
            self.input_bias,
            self.options.k,
            threshold,
        )

    def state(self) -> dict[str, Tensor]:
        """Everything a bitwise continuation needs, as tensors."""
        out = dict(self.parameters())
        for name, parameter in self.parameters().items():
            moments = self.optimizer.state.get(parameter, {})
            out |= {f"adam/{name}/{key}": value for key, value in moments.items()}
        threshold = torch.tensor(self.threshold, dtype=torch.float64)  # all its bits: it is carried on
        counters = {"step_count": torch.tensor(self.step_count), "threshold": threshold}
        return out | {"since_fired": self.since_fired, "fired": self.fired, "center": self.center} | counters

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from ``state()``."""
        for name, parameter in self.parameters().items():
            parameter.copy_(state[name])
            prefix = f"adam/{name}/"
            found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            if found:
                self.optimizer.state[parameter] = {key: value.clone() for key, value in found.items()}
        self.since_fired.copy_(state["since_fired"])
        self.fired.copy_(state["fired"])
        self.center.copy_(state["center"])
        self.step_count, self.threshold = int(state["step_count"]), float(state["threshold"])
