"""What is trained: a dictionary or a cross-layer transcoder under training, and the step that fits its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.dictionaries.cross_layer_step import CrossLayerTrainer
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.nested_step import NestedTrainer
from eval.measures.dictionaries.step_options import StepOptions
from llm_codes.configs.saes import TrainingOptions
from llm_codes.lenses.saes.training.lens_step import LensTrainer
from llm_codes.lenses.saes.training.specification import MEAN_K, TOP_K, CrossLayerSpec, SAESpec, Spec, nested_widths

WARMUP_TOKENS = 102_400


class Trained(Protocol):
    """What the loop needs of what it trains."""

    tokens: int

    @property
    def spec(self) -> Spec: ...

    def start(self, block: Mapping[str, Tensor]) -> None:
        """Scales and biases from the first block."""

    def step(self, batch: Mapping[str, Tensor]) -> list[dict[str, float]]:
        """One step on a batch; a line of the log for each of the specification's rows."""
        ...

    def state(self) -> dict[str, Tensor]: ...

    def load_state(self, state: dict[str, Tensor]) -> None: ...


@dataclass
class TrainedSAE:
    """A dictionary under training: its trainer, the scale of what it reads and writes, tokens seen."""

    spec: SAESpec
    trainer: Any
    scale_in: float = 1.0
    scale_out: float = 1.0
    tokens: int = 0

    def start(self, block: Mapping[str, Tensor]) -> None:
        """Mean norm sqrt(width) at every site; the decoder starts from the mean activation."""
        target = block[self.spec.hook_out or self.spec.hook]
        self.scale_in, self.scale_out = _scale(block[self.spec.hook]), _scale(target)
        self.trainer.decoder_bias.copy_(_mean(target) * self.scale_out)
        if self.spec.is_transcoder:
            self.trainer.center.copy_(_mean(block[self.spec.hook]) * self.scale_in)

    def step(self, batch: Mapping[str, Tensor]) -> list[dict[str, float]]:
        x = batch[self.spec.hook] * self.scale_in
        return [self.trainer.step(x, batch[self.spec.hook_out] * self.scale_out if self.spec.hook_out else None)]

    def state(self) -> dict[str, Tensor]:
        """Everything a bitwise continuation needs, as tensors."""
        scales = torch.tensor([self.scale_in, self.scale_out], dtype=torch.float64)
        return {**self.trainer.state(), "scales": scales}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        self.scale_in, self.scale_out = state["scales"].tolist()
        self.trainer.load_state({name: value for name, value in state.items() if name != "scales"})


@dataclass
class TrainedCrossLayer:
    """A cross-layer transcoder under training: the same, with scales by layer."""

    spec: CrossLayerSpec
    trainer: CrossLayerTrainer
    scales_in: list[float] = field(default_factory=list)
    scales_out: list[float] = field(default_factory=list)
    tokens: int = 0

    def start(self, block: Mapping[str, Tensor]) -> None:
        """As for a transcoder, layer by layer."""
        self.scales_in = [_scale(block[one.hook]) for one in self.spec.layers]
        self.scales_out = [_scale(block[one.hook_out]) for one in self.spec.layers]
        for number, one in enumerate(self.spec.layers):
            self.trainer.decoder_bias[number].copy_(_mean(block[one.hook_out]) * self.scales_out[number])
            self.trainer.layers[number].center.copy_(_mean(block[one.hook]) * self.scales_in[number])

    def step(self, batch: Mapping[str, Tensor]) -> list[dict[str, float]]:
        layers = self.spec.layers
        return self.trainer.step(
            [batch[one.hook] * scale for one, scale in zip(layers, self.scales_in, strict=True)],
            [batch[one.hook_out] * scale for one, scale in zip(layers, self.scales_out, strict=True)],
        )

    def state(self) -> dict[str, Tensor]:
        """Everything a bitwise continuation needs, as tensors."""
        scales = torch.tensor([self.scales_in, self.scales_out], dtype=torch.float64)
        return {**self.trainer.state(), "scales": scales}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        self.scales_in, self.scales_out = state["scales"].tolist()
        self.trainer.load_state({name: value for name, value in state.items() if name != "scales"})


def under_training(spec: Spec, options: TrainingOptions, device: str) -> Trained:
    """A specification with fresh weights, before its first step."""
    if isinstance(spec, CrossLayerSpec):
        made = CrossLayerTrainer(step_options(spec.first, options), len(spec.layers), device)
        return TrainedCrossLayer(spec, made)
    return TrainedSAE(spec, make_trainer(spec, options, device))


def make_trainer(spec: SAESpec, options: TrainingOptions, device: str) -> Any:
    """Our own step for all that keep a number of features, sae-lens' classes where a penalty makes them sparse."""
    step = step_options(spec, options)
    if spec.architecture in TOP_K:
        return (NestedTrainer if step.nested else TopKTrainer)(step, device)
    steps = {name: getattr(step, name) for name in ("warmup_steps", "decay_steps", "total_steps", "dead_after")}
    return LensTrainer(spec, device, **steps)


def step_options(spec: SAESpec, options: TrainingOptions) -> StepOptions:
    """What decides a step of one dictionary.

    Warm-up, decay and the dead window are shares of the run; warm-up ends after 100,000 tokens at the latest.
    """
    total = options.total_steps
    return StepOptions(
        spec.d_in,
        spec.n_features,
        min(spec.k, spec.n_features),
        d_out=spec.d_out,
        nested=nested_widths(spec.n_features) if spec.architecture == "matryoshka" else (),
        tied=spec.tied,
        batch_topk=spec.architecture in MEAN_K,
        learning_rate=spec.learning_rate,
        warmup_steps=min(max(1, WARMUP_TOKENS // options.train_batch_size), total // 10),
        decay_steps=total // 3,
        total_steps=total,
        auxiliary=spec.auxiliary,
        dead_after=max(1, round(spec.dead_window * total)),
        seed=spec.seed,
        baseline=spec.baseline,
        skip=spec.skip,
    )


def _mean(activations: Tensor) -> Tensor:
    """The mean of the finite rows."""
    return activations[torch.isfinite(activations).all(1)].mean(0)


def _scale(activations: Tensor) -> float:
    """sqrt(width) / mean norm, over finite rows."""
    norms = activations[torch.isfinite(activations).all(1)].norm(dim=1)
    mean = float(norms.mean()) if len(norms) else 0.0
    if not mean > 0:
        raise UserError("expected activations that are not all zero; got a mean norm of 0; choose another site")
    return activations.shape[1] ** 0.5 / mean
