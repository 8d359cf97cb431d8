"""`vision_codes train`: every setting, its default, its help. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

from eval.errors import UserError
from eval.options import Options, RunConfig, nested, option
from vision_codes.configs.images import DATA_HELP

GIGABYTE = 2**30
BYTES_PER_WEIGHT = 16
"""Single precision: the weight, its gradient and Adam's two moments."""

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
class RecipeOptions(Options):
    """How a network is built and trained. `--preset` fills what is left at 0, "" or -1."""

    data: str = option("cifar10", DATA_HELP)
    images: int = option(0, "training images to use (0: all)", at_least=0, formerly=("n_images",))
    validation_images: int = option(0, "validation images to use (0: all)", at_least=0, formerly=("n_validation",))
    preset: str = option("paper", "recipe that fills every setting left at its default", choices=tuple(PRESETS))
    image_size: int = option(0, "side in pixels, 32 or more (0: the preset's)", at_least=0, at_most=4096)
    grey_as_colour: bool = option(False, "repeat grey images over three channels")
    base_width: int = option(0, "channels of the first stage; 64 is ResNet-18 (0: the preset's)", at_least=0)
    fully_connected: int = option(0, "width of the dense layers (0: the preset's)", at_least=0)
    latent: int = option(0, "dimensions of the code (0: the preset's)", at_least=0)
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
    decoder_width: int = option(0, "channels of the decoder's first map, 8 or more (0: the preset's)", at_least=0)
    open_relus: float = option(
        -1.0, "initial bias of every BatchNorm before a ReLU of the encoder (-1: the preset's)", at_least=-1
    )
    pretrained: str = option(
        "",
        "start from ImageNet weights: auto falls back to random ones, and says so",
        choices=("", "auto", "yes", "no"),
    )
    epochs: int = option(0, "passes over the training images (0: the preset's)", at_least=0)
    batch_size: int = option(50, "images per step, over all processes", at_least=2)
    learning_rate: float = option(0.0, "Adam's step size (0: the preset's)", at_least=0)
    schedule: str = option("", "learning rate over the run (empty: the preset's)", choices=("", "constant", "cosine"))
    loss: str = option("", "reconstruction loss, summed over pixels (empty: the preset's)", choices=("", "mse", "bce"))
    kl_weight: float = option(-1.0, "weight of the Kullback-Leibler term (-1: the preset's)", at_least=-1)
    recalibrate: int = option(
        -1,
        "training images that BatchNorm is recalibrated on, dropout off, after every epoch (0: off; -1: the preset's)",
        at_least=-1,
    )
    amp: bool = option(False, "mixed precision (bfloat16 autocast)")
    channels_last: bool = option(True, "channels-last memory layout (faster convolutions on CPU and GPU)")
    workers: int = option(
        0, "processes that prepare images; useful when they do not fit in memory", at_least=0, identity=False
    )
    checkpoint_steps: int = option(500, "steps between checkpoints, besides one per epoch", at_least=1, identity=False)
    max_memory_gb: float | None = option(
        8.0, "refuse weights and optimiser beyond this (none: no limit)", above=0, identity=False
    )

    def validate(self) -> None:
        for name, least in (("image_size", 32), ("decoder_width", 8)):
            value = getattr(self, name)
            if 0 < value < least:
                flag = name.replace("_", "-")
                raise UserError(f"expected --{flag} of at least {least} (0: the preset's); got {value}; raise it")
        if self.recalibrate == 1:
            raise UserError("expected --recalibrate of at least 2 images, or 0; got 1; 1000 is enough")
        limit, needed = self.max_memory_gb, self.predicted_weights() * BYTES_PER_WEIGHT / GIGABYTE
        if limit is not None and needed > limit:
            raise UserError(
                f"expected at most {limit:g} GB of weights and optimiser; {needed:.3g} GB would be needed; lower "
                "--latent, --fully-connected, --base-width or --decoder-width, or raise --max-memory-gb"
            )

    def predicted_weights(self) -> float:
        """Parameters of the network that these options build, to within a few per cent."""
        values = PRESETS[self.preset] | {
            name: getattr(self, name) for name in PRESETS[self.preset] if getattr(self, name)
        }
        base, dense, latent, decoder = (
            float(values[name]) for name in ("base_width", "fully_connected", "latent", "decoder_width")
        )
        halved = 32 if values["stem"] == "pool" else 16
        last = 1 if values["pooling"] == "average" else math.ceil(values["image_size"] / halved) ** 2
        encoder = 2728 * base**2  # ResNet-18: 11.2 million at 64 channels
        return encoder + 8 * base * last * dense + dense**2 + 3 * dense * latent + 16 * dense * decoder + 5 * decoder**2

    def filled(self) -> Self:
        """These options with the preset's values where nothing else was asked for."""
        preset = PRESETS[self.preset]
        may_be_zero = {"kl_weight", "recalibrate", "open_relus"}
        unset = {name for name in set(preset) - may_be_zero if not getattr(self, name)}
        unset |= {name for name in may_be_zero if getattr(self, name) < 0}
        return replace(self, **{name: preset[name] for name in unset})


@dataclass(frozen=True, kw_only=True)
class Recipe(Options):
    """How one network is trained: `RecipeOptions` with the preset filled in, for `train`. Defaults: the paper's."""

    epochs: int = option(20, "passes over the training images", at_least=1)
    batch_size: int = option(50, "images per step, over all processes", at_least=2)
    learning_rate: float = option(1e-3, "Adam's step size", above=0)
    schedule: str = option("constant", "learning rate over the run", choices=("constant", "cosine"))
    loss: str = option("mse", "reconstruction loss, summed over pixels", choices=("mse", "bce"))
    kl_weight: float = option(1.0, "weight of the Kullback-Leibler term", at_least=0)
    recalibrate: int = option(0, "images that BatchNorm is recalibrated on after every epoch (0: off)", at_least=0)
    amp: bool = option(False, "mixed precision (bfloat16 autocast)")
    channels_last: bool = option(True, "channels-last memory layout")
    workers: int = option(0, "processes that prepare images", at_least=0)
    checkpoint_steps: int = option(500, "steps between checkpoints", at_least=1)
    seed: int = option(0, "seed of every random draw", at_least=0)
    device: str = option("cpu", "torch device", kind="device")

    def validate(self) -> None:
        if self.recalibrate == 1:
            raise UserError("expected --recalibrate of at least 2 images, or 0; got 1; 1000 is enough")

    @classmethod
    def of(cls, options: RecipeOptions, *, seed: int = 0, device: str = "cpu") -> Recipe:
        """The recipe that options ask for."""
        filled = options.filled()
        names = [name for name in cls.__dataclass_fields__ if name not in ("seed", "device")]
        return cls(**{name: getattr(filled, name) for name in names}, seed=seed, device=device)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """Train a ResNet-VAE with dropout at every ReLU. The same command continues it; `torchrun` shares it."""

    recipe: RecipeOptions = nested(RecipeOptions())
    dropout: float = option(0.0, "probability of dropping a unit at every ReLU, in [0, 1)", at_least=0, below=1)
    wandb: str = option("", "Weights & Biases project to log to as well (empty: none)", identity=False)
