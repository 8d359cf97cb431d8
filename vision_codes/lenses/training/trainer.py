"""One training run: its parts, its steps, and where it stands. Resumable bitwise on CPU.

Random numbers (dropout, reparametrisation) come from torch's own generators, whose state is in the checkpoint; the
order of an epoch is a function of seed and epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from eval.errors import LostFolderError, StoppedError, UserError
from eval.processes import rank, world_size
from eval.progress import progress
from eval.run_identity import code_of
from vision_codes import checkpoints
from vision_codes.checkpoints import Position
from vision_codes.configs.train import Recipe
from vision_codes.data import ImageSet
from vision_codes.image_batches import Images, batches, epoch_order, share_of_batches
from vision_codes.inputs import content_hash
from vision_codes.lenses.training.recalibration import recalibrate
from vision_codes.lenses.training.results import Epoch
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.vae_loss import vae_loss

TERMS = ("loss", "reconstruction", "kl")
RECALIBRATION_BATCH = 200


def origin_of(training: ImageSet, validation: ImageSet) -> dict[str, str]:
    """What weights are made from: content of the images, and the code that trains."""
    return {
        "training images": content_hash(training.images),
        "validation images": content_hash(validation.images),
        "code": code_of((__name__,)),
    }


class Trainer:
    """One training run: its parts, and where it stands. ``train`` drives it."""

    def __init__(
        self, model: ResNetVAE, training: ImageSet, validation: ImageSet, recipe: Recipe, folder: Path
    ) -> None:
        self.recipe, self.folder = recipe, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.origin = origin_of(training, validation)
        self.device = checkpoints.resolve_device(recipe.device)
        architecture = model.architecture
        self.training_images = Images(training.images, architecture.image_size, architecture.channels)
        self.validation_images = Images(validation.images, architecture.image_size, architecture.channels)
        layout = self.layout = memory_layout(recipe.channels_last, self.device, architecture.base_width)
        self.model = model.to(self.device, memory_format=layout)  # pyright: ignore[reportCallIssue]
        self.optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
        self.scheduler = LambdaLR(self.optimizer, _schedule(recipe))
        self.position = Position()
        torch.manual_seed(_generator_seed(recipe.seed, rank()))
        self._restore()
        self.parallel: nn.Module = self.model
        if world_size() > 1:
            self.parallel = nn.parallel.DistributedDataParallel(self.model)

    @property
    def parts(self) -> dict[str, Optimizer | LambdaLR]:
        return {"optimizer": self.optimizer, "scheduler": self.scheduler}

    def _restore(self) -> None:
        content = checkpoints.to_continue(self.folder, self.origin)
        if content is None:
            return
        checkpoints.load_weights(self.model, content, self.model.architecture, self.folder)
        self.position = Position(**content["position"])
        if not content["parts"]:
            self._check_final()
            return
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        states = content["random_states"]
        if len(states) != world_size():
            raise UserError(f"expected {len(states)} processes as before; got {world_size()}; start with as many")
        checkpoints.restore_random_state(states[rank()], self.device)

    def _check_final(self) -> None:
        if self.position.epoch < self.recipe.epochs:
            raise UserError(
                f"expected {self.position.epoch} epochs, as {self.folder} was trained with; got {self.recipe.epochs}; "
                "it holds final weights without the optimiser: train again in another folder"
            )

    def save(self, *, final: bool = False) -> None:
        """Write the checkpoint, unless a gradient that was not finite has reached the weights since the last step."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.model.state_dict().values()):
            self._stop_at_nan("weight")
        if not self.folder.is_dir():
            raise LostFolderError(f"the run folder {self.folder} was removed or renamed during the run; stopped")
        checkpoints.save(self.folder, self.model, self.parts, self.position, self.device, self.origin, final=final)

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.recipe.amp else nullcontext()

    def _to_device(self, images: Tensor) -> Tensor:
        images = images.to(self.device, non_blocking=True)
        return (images.float() / 255).contiguous(memory_format=self.layout)

    def step(self, images: Tensor) -> dict[str, float]:
        """One update; returns the loss terms before it.

        Raises:
            StoppedError: a loss that is not finite (the checkpoint on disk is the last good one).
        """
        with self._autocast():
            output = self.parallel(images)
        losses = vae_loss(output, images, kind=self.recipe.loss, kl_weight=self.recipe.kl_weight)
        values: dict[str, float] = {name: float(term.detach()) for name, term in zip(TERMS, losses, strict=True)}
        if not math.isfinite(values["loss"]):
            self._stop_at_nan()
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        self.optimizer.step()
        return values

    def _stop_at_nan(self, what: str = "loss") -> None:
        kept = checkpoints.read(self.folder)
        where = "none was written yet"
        if kept is not None:
            where = f"{self.folder / checkpoints.FILE_NAME}, epoch {kept['position']['epoch']}"
        raise StoppedError(
            f"expected a finite {what}; got NaN or infinity in epoch {self.position.epoch + 1}, "
            f"step {self.position.step + 1} (last good checkpoint: {where}); lower --learning-rate"
        )

    def epoch(self) -> None:
        """The rest of the current epoch, then validation; the position moves on with every step."""
        position, recipe = self.position, self.recipe
        order = epoch_order(len(self.training_images), recipe.seed, position.epoch)
        indices = share_of_batches(order, recipe.batch_size)
        sums = position.sums = position.sums or dict.fromkeys((*TERMS, "images", "seconds"), 0.0)
        self.parallel.train()
        rest = batches(self.training_images, indices[position.step :], recipe.workers)
        label = f"epoch {position.epoch + 1}/{recipe.epochs}"
        for images in progress(rest, label=label, total=len(indices) - position.step, unit="step"):
            start = time.perf_counter()
            values = self.step(self._to_device(images))
            for name in TERMS:
                sums[name] += values[name] * len(images)
            sums["images"] += len(images)
            sums["seconds"] += time.perf_counter() - start
            position.step += 1
            if position.step % recipe.checkpoint_steps == 0 and position.step < len(indices):
                self.save()
        self.scheduler.step()
        self._finish_epoch()

    def _finish_epoch(self) -> None:
        position, sums = self.position, self.position.sums
        self._recalibrate()
        training = {f"training_{name}": sums[name] / sums["images"] for name in TERMS}
        validation = self.validate()
        if not math.isfinite(validation["loss"]):
            self._stop_at_nan("validation loss")
        record = Epoch(
            position.epoch + 1,
            **training,
            **{f"validation_{name}": value for name, value in validation.items()},
            seconds=sums["seconds"],
            images_per_second=world_size() * sums["images"] / sums["seconds"],
            learning_rate=self.optimizer.param_groups[0]["lr"],
        )
        position.history.append(record.to_json())
        position.epoch, position.step, position.sums = position.epoch + 1, 0, {}

    def _recalibrate(self) -> None:
        """BatchNorm's statistics for evaluation, where the recipe asks for them; the same in every process."""
        recipe, epoch = self.recipe, self.position.epoch
        if not recipe.recalibrate:
            return
        order = epoch_order(len(self.training_images), recipe.seed, epoch)[: recipe.recalibrate]
        indices = [chunk.tolist() for chunk in np.array_split(order, max(1, len(order) // RECALIBRATION_BATCH))]
        images = (self._to_device(part) for part in batches(self.training_images, indices))
        recalibrate(self.model, images, _generator_seed(recipe.seed, epoch))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean loss terms over the validation images, dropout off, the code at its mean."""
        self.model.eval()
        sums = dict.fromkeys(TERMS, 0.0)
        indices = [chunk.tolist() for chunk in np.array_split(np.arange(len(self.validation_images)), _chunks(self))]
        for images in batches(self.validation_images, indices):
            images = self._to_device(images)
            with self._autocast():
                output = self.model(images)
            losses = vae_loss(output, images, kind=self.recipe.loss, kl_weight=self.recipe.kl_weight)
            for name, term in zip(TERMS, losses, strict=True):
                sums[name] += float(term) * len(images)
        return {name: value / len(self.validation_images) for name, value in sums.items()}


def memory_layout(channels_last: bool, device: torch.device, base_width: int) -> torch.memory_format:
    """Channels-last where asked; never on a CPU for widths that are no multiple of 8.

    There torch 2.13's backward pass of channels-last convolutions with 4 channels writes outside its buffers (the heap
    is damaged and the process aborts).
    """
    usable = device.type != "cpu" or base_width % 8 == 0
    return torch.channels_last if channels_last and usable else torch.contiguous_format


def _chunks(trainer: Trainer) -> int:
    return max(1, math.ceil(len(trainer.validation_images) / 200))


def _schedule(recipe: Recipe) -> Callable[[int], float]:
    if recipe.schedule == "constant":
        return lambda epoch: 1.0
    return lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch, recipe.epochs) / recipe.epochs))


def _generator_seed(seed: int, process: int) -> int:
    return int(np.random.SeedSequence([seed, process]).generate_state(1)[0])
