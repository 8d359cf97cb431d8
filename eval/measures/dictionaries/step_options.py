"""What decides a training step of a TopK dictionary, and its learning rate by step."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError, known_name

NONE = "none"
BASELINES = (NONE, "frozen-decoder", "soft-frozen-decoder", "frozen-encoder")
"""What may be held at random instead of being trained: see `baselines`."""


@dataclass(frozen=True)
class StepOptions:
    """What decides a training step.

    d_in, d_out: widths read and written; ``d_out=0`` is an SAE, anything else a transcoder.
    n_features: dictionary size; k: active features per token.
    tied: the decoder is the encoder's transpose. batch_topk: k on average over the batch instead of in every row.
    learning_rate, warmup_steps, decay_steps, total_steps: linear warm-up, constant, linear decay to zero at the end.
    auxiliary: weight of the dead-feature loss; dead_after: steps without firing after which a feature counts as dead;
    auxiliary_features: dead features that reconstruct together (0: half the width written).
    nested: widths below n_features at which the first features have to reconstruct alone too (Matryoshka).
    bias: whether the decoder has one of its own. skip: a transcoder adds a linear map of its centred input.
    baseline: what is held at random instead of being trained (`baselines`).
    clip: largest gradient norm. seed: of the initial weights.
    """

    d_in: int
    n_features: int
    k: int = 32
    d_out: int = 0
    tied: bool = False
    batch_topk: bool = False
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    decay_steps: int = 0
    total_steps: int = 0
    auxiliary: float = 1.0
    auxiliary_features: int = 0
    dead_after: int = 1000
    nested: tuple[int, ...] = ()
    bias: bool = True
    skip: bool = False
    clip: float = 1.0
    threshold_rate: float = 0.01
    decoder_norm: float = 0.1
    baseline: str = NONE
    seed: int = 0

    @property
    def is_transcoder(self) -> bool:
        return self.d_out != 0

    def __post_init__(self) -> None:
        if not 0 < self.k <= self.n_features:
            raise UserError(
                f"expected 1 <= k <= {self.n_features} features; got k={self.k}; lower --k or widen the SAE"
            )
        if list(self.nested) != sorted({width for width in self.nested if 0 < width < self.n_features}):
            raise UserError(
                f"expected nested widths that grow, from 1 to below {self.n_features} features; got {self.nested}; "
                "leave the last one out"
            )
        if self.tied and self.is_transcoder:
            raise UserError(
                "expected an untied transcoder; got tied=True; a transcoder reads one space, writes another"
            )
        if self.skip and not self.is_transcoder:
            raise UserError("expected a transcoder for a skip map; got skip=True with d_out=0; set d_out")
        check_baseline(self.baseline, self.tied)


def check_baseline(baseline: str, tied: bool) -> None:
    """Raises UserError for an unknown baseline, and for one of a tied dictionary."""
    known_name(baseline, BASELINES, "baseline")
    if tied and baseline != NONE:
        raise UserError(
            f"expected an untied dictionary for --baseline {baseline}; got tied=True; drop --tied: one matrix cannot "
            "be held and trained"
        )


def learning_rate_at(options: StepOptions, step: int) -> float:
    """The learning rate of a step (0-based)."""
    rate = options.learning_rate
    if options.warmup_steps and step < options.warmup_steps:
        rate *= (step + 1) / options.warmup_steps
    left = options.total_steps - step
    if options.decay_steps and left < options.decay_steps:
        rate *= max(0.0, left / options.decay_steps)
    return rate
