"""What to train: one line per dictionary."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eval.errors import UserError, known_name

ARCHITECTURES = ("topk", "batchtopk", "standard", "jumprelu", "gated", "matryoshka", "transcoder")
TOP_K = ("topk", "batchtopk", "matryoshka", "transcoder")


@dataclass(frozen=True)
class SAESpec:
    """One dictionary to train.

    hook: where it reads; d_in: how wide that is. hook_out, d_out: where a transcoder writes (its target).
    architecture: see `ARCHITECTURES`; `transcoder` is trained as batch-TopK, saved as `jumprelu_transcoder`.
    k: active features per token (TopK kinds). sparsity: L1 or L0 coefficient of the other kinds.
    tied: the decoder is the encoder's transpose. learning_rate: Adam's; seed: of the initial weights.
    """

    hook: str
    d_in: int
    n_features: int
    architecture: str = "topk"
    k: int = 32
    tied: bool = False
    sparsity: float = 1.0
    learning_rate: float = 3e-3
    hook_out: str = ""
    d_out: int = 0
    auxiliary: float = 1.0
    dead_after: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        known_name(self.architecture, ARCHITECTURES, "SAE architecture")
        if (self.architecture == "transcoder") != bool(self.hook_out and self.d_out):
            raise UserError(
                f"expected hook_out and d_out exactly for a transcoder; got architecture={self.architecture!r} with "
                f"hook_out={self.hook_out!r}; give --site-out with --architecture transcoder"
            )
        if self.n_features < 1:
            raise UserError(f"expected at least 1 feature; got {self.n_features}; set --width, e.g. 8x")
        if self.architecture in TOP_K and not 1 <= self.k <= self.n_features:
            raise UserError(
                f"expected 1 <= k <= {self.n_features} features; got k={self.k}; lower --k or widen the SAE"
            )
        if not self.learning_rate > 0:
            raise UserError(f"expected a learning rate above 0; got {self.learning_rate}; set --learning-rate to 3e-3")

    @property
    def is_transcoder(self) -> bool:
        return bool(self.hook_out)

    @property
    def name(self) -> str:
        """Folder name where several are trained at once: `blocks.2.mlp.hook_out-topk-1536`."""
        return f"{self.hook}-{self.architecture}{'-tied' if self.tied else ''}-{self.n_features}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def parse_width(text: str, d_in: int) -> int:
    """`8x` is eight times the width of the site; a plain number is a number of features."""
    try:
        return round(float(text[:-1]) * d_in) if text.endswith("x") else int(text)
    except ValueError as error:
        raise UserError(f"expected a width like 8x or 12288; got {text!r}; write the factor or the count") from error
