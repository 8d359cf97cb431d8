"""The one way in: which images, and the network that looks at them, opened in one place for every verb.

    model = open_network("runs/vae")
    inputs = open_inputs(ImagesOptions(data="cifar10", images=2500), size=64, channels=3)
    images = inputs.shown

An `Inputs` says what it holds in words (`describe`) and by content (`hash`, `provenance`), and both stand in every
results file: images that were replaced under the same name are other inputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt8

from eval.errors import UserError
from eval.options import chosen
from eval.results import Result, result
from vision_codes.checkpoints import load_model, resolve_device
from vision_codes.configs.images import ImagesOptions
from vision_codes.configs.train import RecipeOptions
from vision_codes.data import ImageSet, load_images
from vision_codes.resnet_vae import ResNetVAE, build
from vision_codes.stimuli import phase_scrambled, random_images
from vision_codes.vae_architecture import Architecture

KINDS = {1: "grey images (1 channel)", 3: "colour images (3 channels)"}
WORDS = {
    "data": "",
    "random": "; shown instead: as many images of independent uniform pixels",
    "phase-scrambled": "; shown instead: the same images with random phases",
}


@dataclass(frozen=True, eq=False)
class Inputs:
    """Images, and how they are shown.

    options: as declared (data, split, how many, control, batch size). found: the images and their labels. channels,
    size: what the network takes (None: as they are). seed: of the draw and of the controls.
    """

    options: ImagesOptions
    found: ImageSet
    seed: int = 0
    channels: int | None = None
    size: int | None = None

    @cached_property
    def shown(self) -> UInt8[np.ndarray, "image channel height width"]:
        """The images that are shown: the data's, or the control that the options name."""
        images, control = self.found.images, self.options.image_control
        if control == "random":
            return random_images(len(images), self.channels or images.shape[1], self.size or images.shape[2], self.seed)
        return phase_scrambled(images, self.seed) if control == "phase-scrambled" else images

    @property
    def labels(self) -> np.ndarray:
        return self.found.labels

    @cached_property
    def hash(self) -> str:
        """Content of the pixels shown and of their labels: 16 hexadecimal digits of SHA-256."""
        return content_hash(self.shown, self.labels)

    def chosen(self, places: np.ndarray) -> Inputs:
        """The same inputs on some of the images."""
        found = replace(self.found, images=self.found.images[places], labels=self.found.labels[places])
        return replace(self, found=found)

    def evenly(self, count: int) -> Inputs:
        """`count` of the images, drawn evenly over classes (all of a class that has fewer), in their own order."""
        return self.chosen(balanced(self.found.labels, count, self.seed))

    def describe(self) -> str:
        """The images in words, for a page."""
        read = self.found.provenance
        height, width = self.found.size
        return (
            f"{len(self.found)} of {read['n_available']} images of {read['source']} (split: {read['split']}, seed "
            f"{self.seed}), {height} x {width} pixels, {KINDS[self.found.channels].split(' (')[0]}, sha256 "
            f"{self.hash}{WORDS[self.options.image_control]}."
        )

    def provenance(self) -> Mapping[str, Any]:
        """Content of the inputs for `results.json`: the data set, what was shown, its hash, and the same in words."""
        return {
            **self.found.provenance,
            "control": self.options.image_control,
            "shown_sha256": self.hash,
            "in_words": self.describe(),
        }


def content_hash(*arrays: np.ndarray) -> str:
    """16 hexadecimal digits of the SHA-256 of arrays: their shapes, types and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def balanced(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Places of `count` images evenly over classes (fewer where there are fewer), in order."""
    generator = np.random.default_rng(seed)
    queues = [list(generator.permutation(np.flatnonzero(labels == c))) for c in np.unique(labels)]
    places: list[int] = []
    while len(places) < count and any(queues):
        for queue in queues:
            if queue and len(places) < count:
                places.append(int(queue.pop()))
    return np.sort(np.array(places, dtype=np.int64))


def open_inputs(
    options: ImagesOptions | None = None,
    *,
    seed: int = 0,
    channels: int | None = None,
    size: int | None = None,
    own_size: bool = False,
    reader: str = "the network",
    **changes: Any,
) -> Inputs:
    """Open the images that the options name: the one place where a verb does.

    Args:
        options: default `ImagesOptions()`; changes: single options by name, e.g. `data="mnist"`.
        seed: of the draw and of the controls. channels, size: what the network takes; images of a folder are read at
            that size. own_size: those of a folder as they are, grey ones grey. reader: its name, for the error.

    Raises:
        UserError: see `load_images`; grey images for a colour network (unless `grey_as_colour`) and the reverse.
    """
    options = chosen(ImagesOptions, options, changes)
    count = None if options.evenly else options.images or None
    found = load_images(options.data, options.split, n=count, seed=seed, size=size, own_size=own_size)
    if channels is not None and found.channels != channels and not (options.grey_as_colour and found.channels == 1):
        raise UserError(
            f"expected {KINDS[channels]} for {reader}; {options.data} holds {KINDS[found.channels]}; "
            "choose other --data or pass --grey-as-colour"
        )
    inputs = Inputs(options, found, seed, channels, size)
    return inputs.evenly(options.images) if options.evenly and options.images else inputs


def open_pair(recipe: RecipeOptions, *, seed: int = 0) -> tuple[Inputs, Inputs]:
    """The training and the validation images of a recipe, at the size it asks for."""
    training, validation = (
        open_inputs(
            data=recipe.data,
            split=split,
            images=count,
            grey_as_colour=recipe.grey_as_colour,
            batch_size=recipe.batch_size,
            seed=seed,
            size=recipe.filled().image_size,
        )
        for split, count in (("train", recipe.images), ("test", recipe.validation_images))
    )
    return training, validation


def inputs_for(model: ResNetVAE, options: ImagesOptions, *, seed: int, reader: str) -> Inputs:
    """`open_inputs` at the size and with the channels that a network takes."""
    architecture = model.architecture
    size, channels = architecture.image_size, architecture.channels
    return open_inputs(options, seed=seed, channels=channels, size=size, reader=reader)


def open_network(folder: str, device: str = "cpu", *, untrained: bool = False, seed: int = 0) -> ResNetVAE:
    """The trained network of a folder, or a fresh one of its architecture, in eval mode.

    Raises:
        UserError: no network there, a damaged one, or no such device (checked first).
    """
    place = resolve_device(device)
    model = load_model(folder, device)
    if untrained:
        model = build(model.architecture, seed).to(place)
    return model.eval()


def weights_hash(model: ResNetVAE) -> str:
    """Content of a network: names, shapes and values of its weights and running statistics."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()[:16]


@result
class NetworkFacts(Result):
    """Which network was looked at; `sha256`: content of its weights."""

    folder: str
    architecture: Architecture
    untrained: bool
    sha256: str


def network_facts(model: ResNetVAE, folder: str, *, untrained: bool) -> NetworkFacts:
    """Provenance of the network that a verb looked at."""
    return NetworkFacts(folder, model.architecture, untrained, weights_hash(model))
