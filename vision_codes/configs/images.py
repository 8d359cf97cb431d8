"""What every verb that shows images to a network is told: which images, and how they are walked. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, RunConfig, option

DATA_HELP = "cifar10, mnist, synthetic, or an image folder (one sub-folder per class)"
SITES_HELP = "ReLU sites, e.g. relu,layer1.0.relu1 (empty: all 17)"
SPLITS = ("train", "test", "all")
CONTROLS = ("data", "random", "phase-scrambled")


@dataclass(frozen=True, kw_only=True)
class ImagesOptions(Options):
    """Images, and how they are read: one declaration for every verb that looks at some."""

    data: str = option("cifar10", DATA_HELP)
    split: str = option("all", "which images", choices=SPLITS)
    images: int = option(5000, "how many, drawn by seed (0: all)", at_least=0, formerly=("n_images",))
    evenly: bool = option(False, "draw them evenly over classes (all of a class that has fewer)")
    grey_as_colour: bool = option(False, "show grey images to a colour network")
    image_control: str = option("data", "control: random or phase-scrambled images instead", choices=CONTROLS)
    batch_size: int = option(100, "images per forward pass", at_least=1, identity=False)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(RunConfig):
    """A network that `train` left in a folder."""

    model: str = option(help="folder written by `vision_codes train`")
    untrained: bool = option(False, "control: the same architecture with fresh weights")


@dataclass(frozen=True, kw_only=True)
class ProcessorConfig(RunConfig):
    """A verb that computes on the processor whatever the machine has: another device is refused, not ignored."""

    def validate(self) -> None:
        if self.device != "cpu":
            raise UserError(
                f"expected --device cpu: this verb computes in exact arithmetic or small matrices on the processor; "
                f"got {self.device}; leave --device out"
            )
