"""`vision_codes train`: every setting, its default, its help. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from eval.options import RunConfig, option

_PAPER: dict[str, Any] = {
    "image_size": 224,
    "base_width": 64,
    "fully_connected": 1024,
    "latent": 256,
    "pooling": "average",
    "dropout_at": "every-relu",
    "output_norm": "batch",
    "stem": "pool",
    "decoder_width": 64,
    "open_relus": 0.0,
    "epochs": 20,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "loss": "mse",
    "kl_weight": 1.0,
    "recalibrate": 0,
    "pretrained": "auto",
}
_SMALL: dict[str, Any] = {
    "image_size": 64,
    "base_width": 8,
    "latent": 128,
    "pooling": "flatten",
    "dropout_at": "encoder",
    "output_norm": "none",
    "stem": "no-pool",
    "decoder_width": 128,
    "open_relus": 0.5,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "kl_weight": (64 / 224) ** 2,  # the paper's balance of the two terms per pixel
    "recalibrate": 1000,
    "pretrained": "no",
}
PRESETS: dict[str, dict[str, Any]] = {
    "paper": _PAPER,  # Marshall & Kirchner 2023, Methods
    "authors-code": _PAPER | {"epochs": 200, "loss": "bce"},  # what their released files do
    "small": _PAPER | _SMALL,  # the same 17 ReLU sites on a laptop, with far fewer steps
}


@dataclass(frozen=True, kw_only=True)
class RecipeConfig(RunConfig):
    """How a network is built and trained, for `train` and `dropout-sweep`. `--preset` fills what is left at 0 or ""."""

    data: str = option("cifar10", "cifar10, mnist, synthetic, or an image folder (one sub-folder per class)")
    n_images: int = option(0, "training images to use (0: all)")
    n_validation: int = option(0, "validation images to use (0: all)")
    preset: str = option("paper", "recipe that fills every setting left at its default", choices=tuple(PRESETS))
    image_size: int = option(0, "side in pixels (0: the preset's)")
    grey_as_colour: bool = option(False, "repeat grey images over three channels")
    base_width: int = option(0, "channels of the first stage; 64 is ResNet-18 (0: the preset's)")
    fully_connected: int = option(0, "width of the dense layers (0: the preset's)")
    latent: int = option(0, "dimensions of the code (0: the preset's)")
    pooling: str = option(
        "", "what the dense layers see of the last stage (empty: the preset's)", choices=("", "average", "flatten")
    )
    dropout_at: str = option(
        "", "which ReLUs have dropout (empty: the preset's)", choices=("", "every-relu", "encoder")
    )
    output_norm: str = option(
        "", "BatchNorm before the final sigmoid, or none (empty: the preset's)", choices=("", "batch", "none")
    )
    stem: str = option(
        "", "max-pooling before the first stage, or none (empty: the preset's)", choices=("", "pool", "no-pool")
    )
    decoder_width: int = option(0, "channels of the decoder's first map (0: the preset's)")
    open_relus: float = option(
        -1.0,
        "initial bias of every BatchNorm before a ReLU of the encoder (negative: the preset's)",
    )
    pretrained: str = option(
        "",
        "start from ImageNet weights: auto falls back to random ones, and says so",
        choices=("", "auto", "yes", "no"),
    )
    epochs: int = option(0, "passes over the training images (0: the preset's)")
    batch_size: int = option(50, "images per step, over all processes")
    learning_rate: float = option(0.0, "Adam's step size (0: the preset's)")
    schedule: str = option("", "learning rate over the run (empty: the preset's)", choices=("", "constant", "cosine"))
    loss: str = option("", "reconstruction loss, summed over pixels (empty: the preset's)", choices=("", "mse", "bce"))
    kl_weight: float = option(-1.0, "weight of the Kullback-Leibler term (negative: the preset's)")
    recalibrate: int = option(
        -1, "training images that BatchNorm is recalibrated on, dropout off, after every epoch (negative: the preset's)"
    )
    amp: bool = option(False, "mixed precision (bfloat16 autocast)")
    channels_last: bool = option(True, "channels-last memory layout (faster convolutions on CPU and GPU)")
    workers: int = option(0, "processes that prepare images; useful when they do not fit in memory", identity=False)
    checkpoint_steps: int = option(500, "steps between checkpoints, besides one per epoch", identity=False)

    def filled(self) -> Self:
        """This configuration with the preset's values where nothing else was asked for."""
        preset = PRESETS[self.preset]
        may_be_zero = {"kl_weight", "recalibrate", "open_relus"}
        unset = {name for name in set(preset) - may_be_zero if not getattr(self, name)}
        unset |= {name for name in may_be_zero if getattr(self, name) < 0}
        return replace(self, **{name: preset[name] for name in unset})


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RecipeConfig):
    """Train a ResNet-VAE with dropout at every ReLU. The same command continues it; `torchrun` shares it."""

    dropout: float = option(0.0, "probability of dropping a unit at every ReLU, in [0, 1)")
    wandb: str = option("", "Weights & Biases project to log to as well (empty: none)", identity=False)
