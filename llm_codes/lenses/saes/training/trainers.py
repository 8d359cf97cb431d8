"""What is trained: one dictionary under training, and the step that fits its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.step_options import StepOptions
from llm_codes.configs.saes import TrainingOptions
from llm_codes.lenses.saes.training.lens_step import LensTrainer
from llm_codes.lenses.saes.training.specification import MEAN_K, SAESpec

WARMUP_TOKENS = 102_400
SPARSE_STEP = ("topk", "batchtopk", "transcoder")  # decoded and differentiated at the active features only


@dataclass
class TrainedSAE:
    """A trained dictionary before it is written: its trainer, the scale of what it read and wrote, tokens seen."""

    spec: SAESpec
    trainer: Any
    scale_in: float = 1.0
    scale_out: float = 1.0
    tokens: int = 0


def make_trainer(spec: SAESpec, options: TrainingOptions, device: str) -> Any:
    """Our sparse step for TopK, BatchTopK and transcoders, sae-lens' classes for the rest.

    Warm-up, decay and the dead window are shares of the run; warm-up ends after 100,000 tokens at the latest.
    """
    total = options.total_steps
    warmup_steps = min(max(1, WARMUP_TOKENS // options.train_batch_size), total // 10)
    dead_after = max(1, round(spec.dead_window * total))
    if spec.architecture not in SPARSE_STEP:
        steps = {"warmup_steps": warmup_steps, "decay_steps": total // 3, "total_steps": total}
        return LensTrainer(spec, device, dead_after=dead_after, **steps)
    step = StepOptions(
        spec.d_in,
        spec.n_features,
        spec.k,
        d_out=spec.d_out,
        tied=spec.tied,
        batch_topk=spec.architecture in MEAN_K,
        learning_rate=spec.learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=total // 3,
        total_steps=total,
        auxiliary=spec.auxiliary,
        dead_after=dead_after,
        seed=spec.seed,
        baseline=spec.baseline,
    )
    return TopKTrainer(step, device)
