"""What to train: one line per dictionary."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from eval.errors import UserError, known_name
from eval.measures.dictionaries.step_options import NONE, check_baseline
from llm_codes.configs.saes import ARCHITECTURES, TRANSCODERS

TOP_K = ("topk", "batchtopk", "matryoshka", "transcoder")
MEAN_K = ("batchtopk", "matryoshka", "transcoder")  # k on average: saved with one threshold
JUMPS = ("jumprelu", "jumprelu-transcoder")  # a threshold for each feature
PENALISED = ("standard", "gated", *JUMPS)  # a loss with a coefficient makes them sparse
GATES = ("gated", *JUMPS)  # a gate decides what is on: it is shifted to the target, and again when saved


@dataclass(frozen=True)
class SAESpec:
    """One dictionary to train.

    hook: where it reads; d_in: how wide that is. hook_out, d_out: where a transcoder writes (its target).
    architecture: see `ARCHITECTURES`; `transcoder` is trained as batch-TopK, `jumprelu-transcoder` with a threshold
    for each feature; both are saved as `jumprelu_transcoder`.
    k: active features per token (TopK kinds). target_l0: the same of the other kinds. The coefficient of a standard or
    gated one starts at `sparsity` and is moved until it is reached; a JumpReLU one keeps it; gates are shifted. 0: what
    the coefficient gives.
    tied: the decoder is the encoder's transpose. learning_rate: Adam's; seed: of the initial weights.
    auxiliary: weight of the loss that revives dead features. dead_window: share of the run's tokens without firing
    after which a feature counts as dead, so that short runs revive features too.
    skip: a transcoder that adds an affine map of its input to what its features write.
    baseline: what is held at random instead of being trained (`eval.measures.dictionaries.baselines`).
    """

    hook: str
    d_in: int
    n_features: int
    architecture: str = "topk"
    k: int = 32
    tied: bool = False
    sparsity: float = 1.0
    target_l0: float = 32.0
    learning_rate: float = 3e-3
    hook_out: str = ""
    d_out: int = 0
    auxiliary: float = 1.0
    dead_window: float = 0.05
    seed: int = 0
    baseline: str = NONE
    skip: bool = False

    def __post_init__(self) -> None:
        known_name(self.architecture, ARCHITECTURES, "SAE architecture")
        check_baseline(self.baseline, self.tied)
        if (self.architecture in TRANSCODERS) != bool(self.hook_out and self.d_out):
            raise UserError(
                f"expected hook_out and d_out exactly for a transcoder; got architecture={self.architecture!r} with "
                f"hook_out={self.hook_out!r}; give --sites-out with --architecture transcoder"
            )
        if self.tied and self.is_transcoder:
            raise UserError(
                f"expected an untied {self.architecture}; got tied=True; a transcoder reads one space, writes another"
            )
        if self.skip and self.architecture != "transcoder":
            raise UserError(f"expected --skip with --architecture transcoder; got {self.architecture}; leave it out")
        if self.n_features < 1:
            raise UserError(f"expected at least 1 feature; got {self.n_features}; set --width, e.g. 8x")
        if self.architecture in TOP_K and not 1 <= self.k < self.n_features:
            raise UserError(f"expected 1 <= k < {self.n_features} features; got k={self.k}; lower --k or widen the SAE")
        if self.architecture in PENALISED:
            self._check_penalty()
        if not 0 < self.dead_window <= 1:
            raise UserError(
                f"expected a dead window above 0 and at most 1; got {self.dead_window}; give a share of the run"
            )
        if not self.learning_rate > 0:
            raise UserError(f"expected a learning rate above 0; got {self.learning_rate}; set --learning-rate to 3e-3")

    def _check_penalty(self) -> None:
        if not (self.sparsity > 0 and math.isfinite(self.sparsity)):
            raise UserError(
                f"expected a finite coefficient above 0 (--sparsity); got {self.sparsity}; take 1 and set --target-l0"
            )
        if not 0 <= self.target_l0 < self.n_features:
            raise UserError(
                f"expected 0 <= target_l0 < {self.n_features} features; got {self.target_l0:g}; lower --target-l0 or "
                "widen the SAE"
            )

    @property
    def is_transcoder(self) -> bool:
        return bool(self.hook_out)

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Hooks that are read and written, with their widths."""
        return tuple(pair for pair in ((self.hook, self.d_in), (self.hook_out, self.d_out)) if pair[0])

    @property
    def n_weights(self) -> int:
        """Numbers in its encoder and decoder."""
        return self.n_features * (self.d_in + (self.d_out or self.d_in)) + (self.d_in * self.d_out if self.skip else 0)

    @property
    def rows(self) -> tuple[str, ...]:
        """Names under which the log and the report say how it does."""
        return (self.name,)

    @property
    def asked_l0(self) -> float | None:
        """Features per token that were asked for; none where a coefficient was given instead."""
        if self.architecture in TOP_K:
            return float(self.k)
        return self.target_l0 or None

    @property
    def name(self) -> str:
        """Folder name where several are trained at once: `blocks.2.mlp.hook_out-topk-1536`."""
        kind = self.architecture + ("-tied" if self.tied else "") + ("-skip" if self.skip else "")
        held = "" if self.baseline == NONE else f"-{self.baseline}"
        return f"{self.hook}-{kind}-{self.n_features}{held}"

    def as_json(self) -> dict[str, object]:
        """Plain JSON, as the metadata of a folder and the results of a run hold it."""
        return asdict(self)


@dataclass(frozen=True)
class CrossLayerSpec:
    """One cross-layer transcoder to train: features of layer i write to the outputs of layers i and above.

    layers: what a transcoder of each layer would be, lowest first; they differ in their hooks alone.
    """

    layers: tuple[SAESpec, ...]

    def __post_init__(self) -> None:
        if any(one.skip for one in self.layers):
            raise UserError("expected a cross-layer transcoder without skip maps: its files hold none; drop --skip")
        alike = {replace(one, hook="", hook_out="", d_out=0, architecture="topk") for one in self.layers}
        hooks = [hook for one in self.layers for hook, _ in one.places]
        whole = (
            all(one.architecture == "transcoder" for one in self.layers)
            and len({one.d_out for one in self.layers}) == 1
        )
        if len(alike) != 1 or len(set(hooks)) != len(hooks) or not whole:
            got = ", ".join(f"{one.hook} to {one.hook_out or 'nothing'}" for one in self.layers) or "none"
            raise UserError(
                f"expected transcoders of one width at different layers; got {got}; give one a layer, lowest first"
            )

    @property
    def first(self) -> SAESpec:
        return self.layers[0]

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Hooks that are read and written, with their widths."""
        return tuple(place for one in self.layers for place in one.places)

    @property
    def n_features(self) -> int:
        """Features of one layer."""
        return self.first.n_features

    @property
    def n_weights(self) -> int:
        """Numbers in its encoders and decoders."""
        count = len(self.layers)
        return self.n_features * (count * self.first.d_in + count * (count + 1) // 2 * self.first.d_out)

    @property
    def asked_l0(self) -> float:
        """Features per token and layer that were asked for."""
        return float(self.first.k)

    @property
    def name(self) -> str:
        """Folder name where several are trained at once: `cross-layer-transcoder-1536`."""
        held = "" if self.first.baseline == NONE else f"-{self.first.baseline}"
        return f"cross-layer-transcoder-{self.n_features}{held}"

    @property
    def rows(self) -> tuple[str, ...]:
        """Names under which the log and the report say how each layer does."""
        return tuple(f"{self.name}-layer-{number}" for number in range(len(self.layers)))

    def as_json(self) -> dict[str, object]:
        """Plain JSON, as the metadata of a folder and the results of a run hold it."""
        shared = {key: value for key, value in asdict(self.first).items() if key not in ("hook", "hook_out")}
        hooks = {"hooks": [one.hook for one in self.layers], "hooks_out": [one.hook_out for one in self.layers]}
        return {**shared, "architecture": "cross-layer-transcoder", **hooks}


Spec = SAESpec | CrossLayerSpec
"""Anything that `sae train` trains."""


def nested_widths(n_features: int) -> tuple[int, ...]:
    """The inner widths of a Matryoshka dictionary: a quarter and a half of its features."""
    return tuple(sorted({n_features // 4, n_features // 2} - {0}))


def parse_width(text: str, d_in: int) -> int:
    """`8x` is eight times the width of the site; a plain number is a number of features."""
    try:
        return round(float(text[:-1]) * d_in) if text.endswith("x") else int(text)
    except ValueError as error:
        raise UserError(f"expected a width like 8x or 12288; got {text!r}; write the factor or the count") from error
