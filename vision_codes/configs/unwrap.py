"""What `python -m vision_codes unwrap` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class UnwrapConfig(RunConfig):
    """Unwrap a four-layer MNIST network into sparse features and connectors, and run it on them."""

    dataset: str = option("mnist", "mnist, or a folder of images with one sub-folder per class")
    seeds: int = option(5, "networks trained, each with its own split where there is no training set")
    hidden: int = option(128, "hidden units per layer")
    expansion: int = option(4, "features per hidden unit")
    active: tuple[int, ...] = option((48, 32, 24), "features active per image in each layer's dictionary")
    edges: int = option(32, "largest number of edges per output feature")
    l1: float = option(0.005, "penalty on weights in units of the features' rms, before edges are chosen")
    epochs: int = option(15, "passes over the training images for the network")
    sae_steps: int = option(1200, "training steps of each dictionary")
    connector_steps: int = option(400, "training steps of each connector before its edges are chosen")
    refit_steps: int = option(400, "training steps of each connector afterwards")
    joint_steps: int = option(1000, "training steps of both connectors together, on the digits that come out")
