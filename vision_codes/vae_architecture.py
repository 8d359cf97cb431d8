"""What decides the shapes of a ResNet-VAE and the places of its dropout."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from eval.errors import UserError, known_name

POOLINGS = ("average", "flatten")
DROPOUT_PLACES = ("every-relu", "encoder")
OUTPUT_NORMS = ("batch", "none")
STEMS = ("pool", "no-pool")


@dataclass(frozen=True)
class Architecture:
    """Everything that decides the shapes of the network and the places of its dropout.

    image_size: side in pixels, at least 32. channels: 1 or 3. base_width: channels of the first stage (64 is
    ResNet-18; the stages have 1, 2, 4, 8 times as many). fully_connected: width of the four dense layers. latent:
    dimensions of the code. dropout: probability in [0, 1) at every ReLU. pooling: what the dense layers see of the last
    stage, its ``average`` over positions (ResNet-18) or all of it (``flatten``, for narrow networks, whose average is
    too few numbers to draw an image from). dropout_at: ``every-relu``, or ``encoder`` for the 17 + 2 ReLUs before the
    code only (a narrow decoder cannot draw through its own noise). output_norm: BatchNorm before the final sigmoid
    (``batch``, the authors' files) or ``none``, so that an image's brightness does not depend on its batch.

    Three settings for networks without ImageNet weights and few steps. stem: ``pool`` halves the image twice before the
    first stage (ResNet-18), ``no-pool`` leaves the max-pooling out, as ResNets for small images do. decoder_width:
    channels of the decoder's first map (64 in the authors' files; the next ones have a half and an eighth as many).
    open_relus: initial mean of what the ReLUs of the encoder see, in standard deviations (0 is torchvision's; at 0.5
    seven units in ten start in their linear range, so that a fresh network passes more of the image on).
    """

    image_size: int = 224
    channels: int = 3
    base_width: int = 64
    fully_connected: int = 1024
    latent: int = 256
    dropout: float = 0.0
    pooling: str = "average"
    dropout_at: str = "every-relu"
    output_norm: str = "batch"
    stem: str = "pool"
    decoder_width: int = 64
    open_relus: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise UserError(f"expected dropout in [0, 1); got {self.dropout:g}; 0.2 drops one unit in five")
        if self.channels not in (1, 3):
            raise UserError(f"expected 1 (grey) or 3 (colour) channels; got {self.channels}; convert the images")
        if self.image_size < 32:
            raise UserError(f"expected images of at least 32 pixels; got {self.image_size}; pass a larger image size")
        known_name(self.pooling, POOLINGS, "pooling")
        known_name(self.dropout_at, DROPOUT_PLACES, "place of dropout")
        known_name(self.output_norm, OUTPUT_NORMS, "output norm")
        known_name(self.stem, STEMS, "stem")
        for name, least in (("base_width", 1), ("fully_connected", 1), ("latent", 1), ("decoder_width", 8)):
            if getattr(self, name) < least:
                raise UserError(
                    f"expected {name} of at least {least}; got {getattr(self, name)}; choose a larger width"
                )
        if not math.isfinite(self.open_relus):
            raise UserError(f"expected a finite open_relus; got {self.open_relus}; 0 is torchvision's")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
