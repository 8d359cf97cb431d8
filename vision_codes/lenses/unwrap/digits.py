"""The digits: training and test images as standardised rows, opened as all images are.

Axis glossary: ``image``, ``pixel`` (row by row).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.errors import UserError
from vision_codes.inputs import Inputs, content_hash, open_inputs

SHIFTS = (-2, -1, 0, 1, 2)
TRAINING_SHARE = 0.8
"""Of the images, where only one set of them is at hand."""


@dataclass
class Digits:
    """Standardised images [image pixel] and labels, training and test; `side` in pixels."""

    train: Float[Tensor, "image pixel"]
    train_labels: Int[Tensor, " image"]
    test: Float[Tensor, "image pixel"]
    test_labels: Int[Tensor, " image"]
    side: int

    def shifted(self) -> Float[Tensor, "image pixel"]:
        """Every training image at 25 offsets: more inputs for the dictionaries, no new label."""
        square = self.train.view(-1, self.side, self.side)
        return torch.cat([torch.roll(square, (i, j), (1, 2)).flatten(1) for i in SHIFTS for j in SHIFTS])


@dataclass(frozen=True, eq=False)
class DigitImages:
    """Training and test images as they were opened, by one seed."""

    training: Inputs
    test: Inputs

    @property
    def hash(self) -> str:
        """Content of all of them: 16 hexadecimal digits of SHA-256."""
        return content_hash(self.training.shown, self.training.labels, self.test.shown, self.test.labels)

    def standardised(self) -> Digits:
        """Mean 0 and deviation 1 over the pixels of the training images.

        Raises:
            UserError: images that are not grey or not square.
        """
        found = self.training.found
        if found.channels != 1 or len(set(found.size)) != 1:
            raise UserError(f"expected square grey images; got {found.images.shape[1:]}; use --data mnist")
        x, z = (_rows(part.shown) for part in (self.training, self.test))
        mean, scale = x.mean(), x.std().clamp_min(1e-6)
        y, w = (torch.from_numpy(np.ascontiguousarray(part.labels)).long() for part in (self.training, self.test))
        return Digits((x - mean) / scale, y, (z - mean) / scale, w, found.size[0])


def _rows(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).float().flatten(1)


def open_digits(data: str, seed: int) -> DigitImages:
    """The training and test images of a data set; where only one set is at hand, 80% and 20% of it by seed."""
    try:
        return DigitImages(*(_open(data, split, seed) for split in ("train", "test")))
    except UserError:
        found = _open(data, "all", 0)
    order = np.random.default_rng(seed).permutation(len(found.found))
    cut = round(TRAINING_SHARE * len(order))
    return DigitImages(found.chosen(order[:cut]), found.chosen(order[cut:]))


def _open(data: str, split: str, seed: int) -> Inputs:
    return open_inputs(data=data, split=split, images=0, seed=seed, own_size=True)


def load_digits(data: str, seed: int) -> tuple[Digits, Mapping[str, Any]]:
    """The digits of `open_digits` and where they come from."""
    found = open_digits(data, seed)
    return found.standardised(), found.training.found.provenance
