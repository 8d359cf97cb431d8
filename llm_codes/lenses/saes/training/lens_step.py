"""sae-lens' own training classes behind our loop: standard, jumprelu, gated, matryoshka, batch-TopK.

The forward pass and the losses are sae-lens'; Adam, the gradient clip, the warm-up of coefficients and the count of
dead features are those of `sae_lens.SAETrainer`, kept as plain tensors so that a continuation is bitwise.

With a target L0 the coefficient of the sparsity loss is moved every step by the ratio of the L0 of the batch and the
target, so that a user asks for a sparsity and not for a number in the units of a loss.

Tied dictionaries: sae-lens has none. The decoder is the only matrix that Adam moves; before each step the encoder is
set to its transpose, and the encoder's gradient is added to the decoder's: the exact gradient of the tied loss.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.measures.dictionaries.baselines import Constraint
from eval.measures.dictionaries.step_options import StepOptions, learning_rate_at
from eval.measures.dictionaries.thresholds import threshold_for_mean_active
from eval.torchvision_operators import declare_missing_operators
from llm_codes.lenses.saes.training.specification import PENALISED, SAESpec

INTEGRAL, PROPORTIONAL = 0.03, 2.0  # of the coefficient's logarithm, per step and unit of log(L0 / target)
THRESHOLDS = 0.05  # the same, of all thresholds of JumpReLU
LENS_NAMES = {"matryoshka": "matryoshka_batchtopk"}


def training_sae(spec: SAESpec, device: str) -> Any:
    """The sae-lens training object of a specification, initialised with its seed."""
    declare_missing_operators()
    from sae_lens.registry import get_sae_training_class

    sae_class, config_class = get_sae_training_class(LENS_NAMES.get(spec.architecture, spec.architecture))
    options: dict[str, Any] = {"d_in": spec.d_in, "d_sae": spec.n_features, "device": device}
    if spec.architecture in ("batchtopk", "matryoshka", "topk"):
        options |= {"k": spec.k, "aux_loss_coefficient": spec.auxiliary}
    if spec.architecture == "matryoshka":
        options["matryoshka_widths"] = [spec.n_features // 4, spec.n_features // 2, spec.n_features]
    if spec.architecture in ("standard", "gated"):
        options["l1_coefficient"] = spec.sparsity
    if spec.architecture == "jumprelu":
        options["l0_coefficient"] = spec.sparsity
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return sae_class(config_class(**options))


class LensTrainer:
    """One dictionary under training with sae-lens' classes; the interface of `TopKTrainer`."""

    def __init__(
        self,
        spec: SAESpec,
        device: str = "cpu",
        warmup_steps: int = 0,
        dead_after: int = 200,
        decay_steps: int = 0,
        total_steps: int = 0,
    ) -> None:
        self.spec, self.dead_after = spec, dead_after
        self.schedule = StepOptions(
            spec.d_in,
            spec.n_features,
            learning_rate=spec.learning_rate,
            warmup_steps=warmup_steps,
            decay_steps=decay_steps,
            total_steps=total_steps,
            k=1,
        )
        self.steering, self.sparsity_factor = 0.0, 1.0
        self.sae = training_sae(spec, device).train()
        self.since_fired = torch.zeros(spec.n_features, device=device)
        self.fired = torch.zeros(spec.n_features, dtype=torch.float64, device=device)
        self.step_count = 0
        self.constraint = Constraint(spec.baseline, self.sae.W_dec.data)
        named = {name: p for name, p in self.sae.named_parameters() if not (spec.tied and name == "W_enc")}
        moved = self.constraint.moved(named, "W_enc", "W_dec")
        self.optimizer = torch.optim.Adam(moved.values(), lr=spec.learning_rate)
        if spec.tied:
            self._tie()

    @property
    def decoder_bias(self) -> Tensor:
        return self.sae.b_dec.data

    def _tie(self) -> None:
        self.sae.W_enc.data.copy_(self.sae.W_dec.data.T)

    def _coefficients(self) -> dict[str, float]:
        """Coefficients after their linear warm-up."""
        out = {}
        for name, value in self.sae.get_coefficients().items():
            final, steps = (value, 0) if isinstance(value, (int, float)) else (value.value, value.warm_up_steps)
            out[name] = final * self.sparsity_factor * (1.0 if not steps else min(1.0, self.step_count / steps))
        return out

    def _steer(self, l0: float) -> None:
        """Raise the coefficient while more features are active than asked for, lower it while fewer are.

        A proportional-integral rule on log(L0 / target): the integral finds the coefficient, the proportional part
        keeps it from overshooting.
        """
        if self.spec.architecture not in PENALISED or not self.spec.target_l0:
            return
        ratio = max(-1.0, min(1.0, math.log(max(l0, 0.1) / self.spec.target_l0)))
        self.steering += INTEGRAL * ratio
        self.sparsity_factor = math.exp(self.steering + PROPORTIONAL * ratio)
        if self.spec.architecture == "jumprelu":  # Adam alone would move thresholds a few steps of its rate only
            self.sae.threshold.data *= math.exp(THRESHOLDS * ratio)

    @torch.no_grad()
    def _start_threshold(self, x: Float[Tensor, "row d_in"]) -> None:
        """JumpReLU starts at the threshold that gives the target on the first batch: from 0 a short run never gets up
        to it."""
        if self.spec.architecture == "jumprelu" and self.spec.target_l0 and bool(torch.isfinite(x).all()):
            scores = self.sae.encode_with_hidden_pre(x)[1]
            self.sae.threshold.data.fill_(threshold_for_mean_active([scores], self.spec.target_l0, len(x)))

    def step(self, x: Float[Tensor, "row d_in"], target: Tensor | None = None) -> dict[str, float]:
        """One gradient step; a step whose loss or gradient is not finite changes nothing and returns `loss = nan`."""
        from sae_lens.saes.sae import TrainStepInput

        if self.step_count == 0:
            self._start_threshold(x)
        dead = self.since_fired > self.dead_after
        threshold = self.sae.topk_threshold.clone() if hasattr(self.sae, "topk_threshold") else None
        output = self.sae.training_forward_pass(TrainStepInput(x, self._coefficients(), dead, self.step_count, False))
        output.loss.backward()
        if self.spec.tied:
            self.sae.W_dec.grad += self.sae.W_enc.grad.T
            self.sae.W_enc.grad = None
        moved = self.optimizer.param_groups[0]["params"]
        norm = float(torch.nn.utils.clip_grad_norm_(moved, 1.0))
        if not math.isfinite(norm) or not math.isfinite(output.loss.item()):
            self.sae.zero_grad()
            if threshold is not None:
                self.sae.topk_threshold = threshold
            return {"loss": math.nan}
        self.optimizer.param_groups[0]["lr"] = learning_rate_at(self.schedule, self.step_count)
        self.optimizer.step()
        self.sae.zero_grad()
        self.constraint.hold(self.sae.W_dec.data)
        if self.spec.tied:
            self._tie()
        self.step_count += 1
        return self._measure(output, x, norm)

    @torch.no_grad()
    def _measure(self, output: Any, x: Tensor, norm: float) -> dict[str, float]:
        active = (output.feature_acts > 0).float()
        counts = active.sum(0)
        self.fired += counts
        self.since_fired += 1
        self.since_fired[counts > 0] = 0
        self._steer(float(active.sum()) / len(x))
        error = float((output.sae_out - x).square().sum())
        spread = float((x - x.mean(0)).square().sum())
        return {
            "loss": output.loss.item(),
            "l0": float(active.sum()) / len(x),
            "fvu": error / spread if spread else math.nan,
            "dead_share": float((self.since_fired > self.dead_after).float().mean()),
            "gradient_norm": norm,
        }

    def state(self) -> dict[str, Tensor]:
        """Everything a bitwise continuation needs, as tensors."""
        out = {f"sae/{name}": value for name, value in self.sae.state_dict().items()}
        for number, parameter in enumerate(self.optimizer.param_groups[0]["params"]):
            moments = self.optimizer.state.get(parameter, {})
            out |= {f"adam/{number}/{key}": value for key, value in moments.items()}
        return out | {
            "since_fired": self.since_fired,
            "fired": self.fired,
            "step_count": torch.tensor(self.step_count),
            "steering": torch.tensor([self.steering, self.sparsity_factor], dtype=torch.float64),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        prefix = "sae/"
        self.sae.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        for number, parameter in enumerate(self.optimizer.param_groups[0]["params"]):
            prefix = f"adam/{number}/"
            found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            if found:
                self.optimizer.state[parameter] = {key: value.clone() for key, value in found.items()}
        self.since_fired.copy_(state["since_fired"])
        self.fired.copy_(state["fired"])
        self.step_count = int(state["step_count"])
        self.steering, self.sparsity_factor = state["steering"].tolist()
