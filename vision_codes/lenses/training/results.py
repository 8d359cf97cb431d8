"""What a training run holds: one record per epoch, how good the reconstructions are, how fast it went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from eval.results import Result, result
from eval.scores import Score
from vision_codes.vae_architecture import Architecture

COLUMNS = ["epoch", "training_loss", "validation_loss", "validation_reconstruction", "validation_kl"]
COLUMNS += ["images_per_second"]


@result
class Epoch(Result):
    """One epoch: mean loss terms over the training images (before each step, dropout on) and over the validation images
    (dropout off, the code at its mean); lower is better. seconds: of the steps."""

    columns: ClassVar[list[str]] = COLUMNS

    epoch: int
    training_loss: float
    training_reconstruction: float
    training_kl: float
    validation_loss: float
    validation_reconstruction: float
    validation_kl: float
    seconds: float
    images_per_second: float
    learning_rate: float


@result
class Quality(Result):
    """How much of the held-out images is in their reconstructions.

    unexplained: squared error over that of the mean image; 0 is perfect, 1 no better than the mean image. identified:
    share of images whose reconstruction is nearer (Euclidean, pixels) to its own image than to any other of these, with
    its 95% interval over images; identified_by_chance: 1 / n.
    """

    unexplained: float
    identified: Score
    identified_by_chance: float


@result
class Throughput(Result):
    """Images per second of the last epoch, operations per image, and the share of the measured matrix-multiply rate."""

    images_per_second: float
    batch_size: int
    flops_per_image: float
    matrix_multiply_flops_per_second: float
    share_of_matrix_multiply_rate: float
    dtype: str
    device: str


@result
class TrainingFile(Result):
    """`results.json` of the verb `train`; data: what was read, by `training` and `validation`; skipped: files that
    could not be, each with the reason."""

    architecture: Architecture
    initial_weights: str
    history: tuple[Epoch, ...]
    final: Epoch
    throughput: Throughput
    data: Mapping[str, Mapping[str, Any]]
    skipped: tuple[str, ...]
