"""`python -m vision_codes train`."""

from __future__ import annotations

from eval.report.tables import text_table
from eval.runs import Run
from eval.wandb_logging import wandb_log
from vision_codes import checkpoints
from vision_codes.configs.train import Recipe, TrainConfig
from vision_codes.inputs import open_pair
from vision_codes.lenses.training.results import COLUMNS, TrainingFile
from vision_codes.lenses.training.study import architecture_of, initial_model, train
from vision_codes.lenses.training.throughput import throughput


def command(config: TrainConfig, run: Run) -> str:
    """`vision_codes train`."""
    checkpoints.resolve_device(config.device)
    training, validation = open_pair(config.recipe, seed=config.seed)
    run.require_inputs(training_images=training.hash, validation_images=validation.hash)
    architecture = architecture_of(config.recipe, training.found.channels, config.dropout)
    model, origin = initial_model(config.recipe, architecture, config.seed)
    recipe = Recipe.of(config.recipe, seed=config.seed, device=config.device)
    with wandb_log(config.wandb, vars(config)) as log:
        history = train(
            model, training.found, validation.found, recipe, run, on_epoch=lambda record: log(record.to_json())
        )
    last = history[-1]
    found = TrainingFile(
        architecture=architecture,
        initial_weights=origin,
        history=tuple(history),
        final=last,
        throughput=throughput(model, recipe.batch_size, recipe.amp, last.images_per_second),
        data={"training": training.found.provenance, "validation": validation.found.provenance},
        skipped=(*training.found.skipped, *validation.found.skipped),
    )
    run.finish(found.to_json(), images={"training": training.provenance(), "validation": validation.provenance()})
    return text_table([record.to_json() for record in (history[0], last)], COLUMNS)
