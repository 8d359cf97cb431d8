"""What `python -m vision_codes unwrap` can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from eval.errors import UserError
from eval.options import option
from eval.presets import Preset
from vision_codes.configs.images import ProcessorConfig


@dataclass(frozen=True, kw_only=True)
class UnwrapConfig(ProcessorConfig):
    """Unwrap a four-layer MNIST network into sparse features and connectors, and run it on them."""

    papers: ClassVar[Mapping[str, Preset]] = {
        "fc": Preset(
            {"data": "mnist", "expansion": "4"},
            "MNIST, four layers, dictionaries four times as wide; they are TopK, where the post used an L1 penalty",
        )
    }

    data: str = option(
        "mnist", "mnist, or a folder of square grey images with one sub-folder per class", formerly=("dataset",)
    )
    seeds: int = option(5, "networks trained, each with its own split where there is no training set", at_least=1)
    hidden: int = option(128, "hidden units per layer", at_least=1)
    expansion: int = option(4, "features per hidden unit", at_least=1)
    active: tuple[int, ...] = option(
        (48, 32, 24), "features active per image in each layer's dictionary", at_least=1, repeats=True
    )
    edges: int = option(32, "largest number of edges per output feature", at_least=1)
    l1: float = option(0.005, "penalty on weights in units of the features' rms, before edges are chosen", at_least=0)
    epochs: int = option(15, "passes over the training images for the network", at_least=1)
    sae_steps: int = option(1200, "training steps of each dictionary", at_least=1)
    connector_steps: int = option(400, "training steps of each connector before its edges are chosen", at_least=1)
    refit_steps: int = option(400, "training steps of each connector afterwards", at_least=0)
    joint_steps: int = option(
        1000, "training steps of both connectors together, on the digits that come out", at_least=0
    )

    def validate(self) -> None:
        super().validate()
        if len(self.active) != 3:
            raise UserError(
                f"expected three numbers in --active, one per hidden layer; got {self.active}; e.g. 32,32,32"
            )
