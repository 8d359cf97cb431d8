"""sae-lens' own training classes with a penalty behind our loop: standard, jumprelu, gated.

The weights and the losses are those of sae-lens' classes, differentiated at the active features (`lens_gradients`);
Adam, the gradient clip, the warm-up of coefficients and the count of dead features are those of `sae_lens.SAETrainer`,
kept as plain tensors so that a continuation is bitwise.

With a target L0 a user asks for a sparsity and not for a number in the units of a loss. A standard dictionary has no
other means than its coefficient, which is moved every step so that L0 falls from that of the start along a curve that
ends at the target after nine tenths of the run: a coefficient that asks for the target at once kills features. Gated
and JumpReLU ones have a gate: all gate biases, or thresholds, are shifted by one number every step, half of the way to
the one that leaves the target active on the batch, and the loss decides which features are on. Through the coefficient
alone they are late: Adam moves a bias or a threshold by its rate a step. The penalty of a gated one also moves the
encoder, so that its coefficient follows until the gates need no shift.

A JumpReLU transcoder is the JumpReLU class with a decoder of its target's width; as in every transcoder of ours the
mean input is subtracted first (`center`) and folded into the bias when saved.

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
from eval.measures.dictionaries.thresholds import shift_for_mean_active
from eval.torchvision_operators import declare_missing_operators
from llm_codes.lenses.saes.training.lens_gradients import Pass, differentiated, real_entries, scores_of
from llm_codes.lenses.saes.training.specification import GATES, JUMPS, SAESpec, nested_widths

INTEGRAL, PROPORTIONAL = 20.0, 1.0  # of the coefficient's logarithm, per run and unit of log(L0 / asked): standard
GATED_INTEGRAL = 0.2  # the same per step: gated
ARRIVED = 0.9  # share of the run after which the target itself is asked for
UNKNOWN_LENGTH = 1000  # steps, where the length of the run is not given
CLIP = 1.0  # largest gradient norm
SHIFTED = 0.5  # share of the way to the target by which a step shifts the gates
LENS_NAMES = {"matryoshka": "matryoshka_batchtopk", "jumprelu-transcoder": "jumprelu"}


def training_sae(spec: SAESpec, device: str) -> Any:
    """The sae-lens training object of a specification, initialised with its seed."""
    declare_missing_operators()
    from sae_lens.registry import get_sae_training_class

    sae_class, config_class = get_sae_training_class(LENS_NAMES.get(spec.architecture, spec.architecture))
    options: dict[str, Any] = {"d_in": spec.d_in, "d_sae": spec.n_features, "device": device}
    options |= {"apply_b_dec_to_input": False} if spec.is_transcoder else {}
    if spec.architecture in ("batchtopk", "matryoshka", "topk"):
        options |= {"k": spec.k, "aux_loss_coefficient": spec.auxiliary}
    if spec.architecture == "matryoshka":
        options["matryoshka_widths"] = [*nested_widths(spec.n_features), spec.n_features]
    if spec.architecture in ("standard", "gated"):
        options["l1_coefficient"] = spec.sparsity
    if spec.architecture in JUMPS:
        options["l0_coefficient"] = spec.sparsity
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        made = sae_class(config_class(**options))
        return _writing_elsewhere(made, spec.d_out) if spec.is_transcoder else made


def _writing_elsewhere(sae: Any, d_out: int) -> Any:
    """sae-lens trains no transcoder: its JumpReLU class with a random decoder of another width, whose vectors are as
    long; the encoder keeps its own random start."""
    made = torch.randn(sae.cfg.d_sae, d_out, device=sae.W_dec.device)
    made *= sae.W_dec.data.norm(dim=1, keepdim=True) / made.norm(dim=1, keepdim=True)
    sae.W_dec, sae.b_dec = torch.nn.Parameter(made), torch.nn.Parameter(made.new_zeros(d_out))
    return sae


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
        self.steering, self.sparsity_factor, self.first_above = 0.0, 1.0, 0.0
        self.sae = training_sae(spec, device).train()
        self.center = torch.zeros(spec.d_in, device=device)  # what a transcoder subtracts from its input
        self.since_fired = torch.zeros(spec.n_features, device=device)
        self.fired = torch.zeros(spec.n_features, dtype=torch.float64, device=device)
        self.step_count = 0
        self.constraint = Constraint(spec.baseline, self.sae.W_dec.data)
        named = {name: p for name, p in self.sae.named_parameters() if not (spec.tied and name == "W_enc")}
        self.moved = self.constraint.moved(named, "W_enc", "W_dec")
        self.optimizer = torch.optim.Adam(self.moved.values(), lr=spec.learning_rate, fused=True)
        if spec.tied:
            self._tie()

    @property
    def decoder_bias(self) -> Tensor:
        return self.sae.b_dec.data

    def _tie(self) -> None:
        self.sae.W_enc.data.copy_(self.sae.W_dec.data.T)

    def _coefficient(self) -> float:
        """The coefficient after its linear warm-up."""
        (given,) = self.sae.get_coefficients().values()
        final, steps = (given, 0) if isinstance(given, (int, float)) else (given.value, given.warm_up_steps)
        return final * self.sparsity_factor * (1.0 if not steps else min(1.0, self.step_count / steps))

    def _steer(self, l0: float) -> None:
        """Raise the coefficient while more features are active than asked for, lower it while fewer are.

        A proportional-integral rule on log(L0 / asked). A standard dictionary is asked for
        target exp(s (1 - t)^4), t the share of the way to `ARRIVED` and s = log(first L0 / target); a gated one, which
        is near its target from the start, for the target, by the integral alone.
        """
        if self.spec.architecture in JUMPS or not self.spec.target_l0:
            return
        above = math.log(max(l0, 0.1) / self.spec.target_l0)
        if self.spec.architecture == "gated":
            self.steering += GATED_INTEGRAL * max(-1.0, min(1.0, above))
            self.sparsity_factor = math.exp(self.steering)
            return
        steps = self.schedule.total_steps or UNKNOWN_LENGTH
        if self.step_count == 1:
            self.first_above = above
        left = max(0.0, 1 - self.step_count / (ARRIVED * steps))
        ratio = max(-1.0, min(1.0, above - self.first_above * left**4))
        self.steering += INTEGRAL / steps * ratio
        self.sparsity_factor = math.exp(self.steering + PROPORTIONAL * ratio)

    @torch.no_grad()
    def _shift_gates(self, scores: Float[Tensor, "row feature"], share: float, found: Pass | None = None) -> None:
        """Shift every gate by one number, this share of the way to the one that leaves the target active.

        scores: what the encoder reads (`scores_of`). found: the pass they are of, whose chosen features spare the rest
        where the number is above what any of the rest could reach.
        """
        if self.spec.architecture not in GATES or not self.spec.target_l0 or not math.isfinite(float(scores.sum())):
            return
        jumps = self.spec.architecture in JUMPS
        limit = self.sae.threshold.data if jumps else -self.sae.b_gate.data
        shift = None if found is None else self._shift_of_chosen(found, limit)
        if shift is None:
            shift = shift_for_mean_active([scores - limit], self.spec.target_l0, len(scores))
        if jumps:
            self.sae.threshold.data.add_(share * shift).clamp_(min=0.0)
        else:
            self.sae.b_gate.data.sub_(share * shift)

    def _shift_of_chosen(self, found: Pass, limit: Float[Tensor, " feature"]) -> float | None:
        """The shift from the chosen features alone; none where they do not decide it."""
        if found.chosen is None or found.floor is None:
            return None
        real, rows = real_entries(found.chosen), len(found.scores)
        gates = (found.chosen.values - limit[found.chosen.indices])[real]
        if len(gates) < round(self.spec.target_l0 * rows):
            return None
        shift = shift_for_mean_active([gates[None]], self.spec.target_l0, rows)
        return shift if shift > float((found.floor - limit).max()) else None

    @torch.no_grad()
    def step(self, x: Float[Tensor, "row d_in"], target: Tensor | None = None) -> dict[str, float]:
        """One gradient step; a step whose loss or gradient is not finite changes nothing and returns `loss = nan`."""
        target = x if target is None else target
        x = x - self.center if self.spec.is_transcoder else x
        if self.step_count == 0:
            self._shift_gates(scores_of(self.sae, x), 1.0)
        found = differentiated(self.sae, self.spec.architecture, x, self._coefficient(), target)
        if self.spec.tied:
            found.gradients["W_dec"] += found.gradients.pop("W_enc").T
        norm = math.sqrt(sum(float(torch.linalg.vector_norm(found.gradients[name])) ** 2 for name in self.moved))
        if not math.isfinite(norm) or not math.isfinite(found.loss):
            return {"loss": math.nan}
        for name, parameter in self.moved.items():
            parameter.grad = found.gradients[name] if norm < CLIP else found.gradients[name].mul_(CLIP / (norm + 1e-6))
        self.optimizer.param_groups[0]["lr"] = learning_rate_at(self.schedule, self.step_count)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.constraint.hold(self.sae.W_dec.data)
        if self.spec.tied:
            self._tie()
        self.step_count += 1
        return self._measure(found, target, norm)

    def _measure(self, found: Pass, target: Tensor, norm: float) -> dict[str, float]:
        self.fired += found.fired
        self.since_fired += 1
        self.since_fired[found.fired > 0] = 0
        l0 = float(found.fired.sum()) / len(target)
        self._steer(l0)
        self._shift_gates(found.scores, SHIFTED, found)
        spread = float((target - target.mean(0)).square().sum())
        return {
            "loss": found.loss,
            "l0": l0,
            "fvu": found.error / spread if spread else math.nan,
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
            "center": self.center,
            "step_count": torch.tensor(self.step_count),
            "steering": torch.tensor([self.steering, self.sparsity_factor, self.first_above], dtype=torch.float64),
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
        self.center.copy_(state.get("center", self.center))
        self.step_count = int(state["step_count"])
        self.steering, self.sparsity_factor, self.first_above = state["steering"].tolist()
