"""Train a ResNet-VAE: resumable bitwise on CPU, mixed precision on a GPU, shared by processes under torchrun.

The recipe is Marshall & Kirchner's (Adam 1e-3, batches of 50, 20 epochs, squared error + KL divergence);
no augmentation, as in their files.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from eval.errors import UserError
from eval.processes import is_main_process, process_group
from eval.progress import say
from eval.runs import Run
from vision_codes.configs.train import Recipe, RecipeOptions
from vision_codes.data import ImageSet
from vision_codes.lenses.training.reconstructions import draw_epoch
from vision_codes.lenses.training.results import Epoch
from vision_codes.lenses.training.trainer import Trainer
from vision_codes.resnet_vae import ResNetVAE, build, load_imagenet_encoder
from vision_codes.vae_architecture import Architecture


def train(
    model: ResNetVAE,
    training: ImageSet,
    validation: ImageSet,
    recipe: Recipe,
    run: Run,
    *,
    on_epoch: Callable[[Epoch], None] = lambda record: None,
    keep_optimizer: bool = False,
) -> list[Epoch]:
    """Train ``model`` in place (or continue it from ``run``'s checkpoint); returns one record per epoch.

    Per epoch: a checkpoint, a line of ``metrics.jsonl``, and a picture of reconstructions and samples. At the end the
    checkpoint keeps the weights only, unless ``keep_optimizer`` (then more epochs may follow). A checkpoint that is
    damaged, or was made from other images or by other code, is set aside, said, and training starts again.

    Raises:
        StoppedError: a loss or weight that is not finite, a run folder that went away.
        UserError: images of other channels, a checkpoint of another architecture, no such device.
    """
    with process_group(recipe.device):
        trainer = Trainer(model, training, validation, recipe, run.folder)
        trained = trainer.position.epoch < recipe.epochs
        while trainer.position.epoch < recipe.epochs:
            trainer.epoch()
            trainer.save(final=trainer.position.epoch == recipe.epochs and not keep_optimizer)
            history = trainer.position.history
            run.write_text("metrics.jsonl", "".join(json.dumps(record) + "\n" for record in history))
            if is_main_process():
                draw_epoch(trainer.model, trainer.validation_images, run, trainer.position.epoch)
                on_epoch(Epoch.from_json(history[-1]))
        if not trained:
            say(f"{run.folder} holds a network of {trainer.position.epoch} epochs: nothing left to train")
        trainer.model.eval()
        return [Epoch.from_json(record) for record in trainer.position.history]


def architecture_of(options: RecipeOptions, channels: int, dropout: float) -> Architecture:
    """The architecture that options ask for (the preset filled in)."""
    filled = options.filled()
    names = "image_size base_width fully_connected latent pooling dropout_at output_norm stem decoder_width open_relus"
    return Architecture(
        channels=3 if filled.grey_as_colour else channels,
        dropout=dropout,
        **{name: getattr(filled, name) for name in names.split()},
    )


def initial_model(options: RecipeOptions, architecture: Architecture, seed: int) -> tuple[ResNetVAE, str]:
    """A network before training and where its weights come from (ImageNet where asked and to be had)."""
    model = build(architecture, seed)
    pretrained = options.filled().pretrained
    if pretrained == "no":
        return model, f"random, seed {seed}"
    try:
        return model, load_imagenet_encoder(model)
    except UserError as error:
        if pretrained == "yes":
            raise
        say(f"warning: {error}; starting from random weights")
        return model, f"random, seed {seed} (ImageNet weights not to be had: {error})"
