"""`python -m vision_codes train`."""

from __future__ import annotations

from eval.report.tables import text_table
from eval.runs import Run
from eval.wandb_logging import wandb_log
from vision_codes import checkpoints
from vision_codes.configs.train import TrainConfig
from vision_codes.lenses.training.study import Recipe, architecture_of, initial_model, load_data, train
from vision_codes.lenses.training.throughput import throughput


def command(config: TrainConfig, run: Run) -> str:
    """`vision_codes train`."""
    filled = config.filled()
    checkpoints.resolve_device(filled.device)
    training, validation = load_data(filled)
    architecture = architecture_of(filled, training.channels, config.dropout)
    model, origin = initial_model(filled, architecture, config.seed)
    with wandb_log(config.wandb, vars(config)) as log:
        recipe = Recipe.from_config(filled, config.seed)
        history = train(model, training, validation, recipe, run, on_epoch=log)
    run.finish(
        {
            "architecture": architecture.as_json(),
            "initial_weights": origin,
            "history": history,
            "final": history[-1],
            "throughput": throughput(model, filled.batch_size, filled.amp, history[-1]["images_per_second"]),
            "data": {"training": training.provenance, "validation": validation.provenance},
            "skipped": [*training.skipped, *validation.skipped],
        }
    )
    columns = ["epoch", "training_loss", "validation_loss", "validation_reconstruction", "validation_kl"]
    return text_table(history[:1] + history[-1:], [*columns, "images_per_second"])
