"""`python -m vision_codes dropout-sweep` and `report`."""

from __future__ import annotations

from eval.claims import claims_rows
from eval.processes import usable_cores
from eval.progress import progress
from eval.report.figures import SavedFigure, drawn
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from eval.workers import in_workers
from vision_codes import checkpoints
from vision_codes.configs.dropout_sweep import DropoutSweepConfig, ReportConfig
from vision_codes.lenses.spectra.eigenfilters import eigenfilters
from vision_codes.lenses.spectra.figures import draw_eigenfilters
from vision_codes.lenses.sweep.chapter import build_page
from vision_codes.lenses.sweep.claims import claims
from vision_codes.lenses.sweep.collected import Sweep, collect
from vision_codes.lenses.sweep.results import ReportFile, SweepResults
from vision_codes.lenses.sweep.study import (
    DRAWN_SEED,
    Images,
    item_name,
    n_jobs,
    sweep_images,
    sweep_inputs,
    train_and_analyse,
)
from vision_codes.lenses.training.study import architecture_of

RECIPE_FIELDS = "preset epochs batch_size learning_rate schedule loss kl_weight recalibrate pretrained".split()


def dropout_sweep(config: DropoutSweepConfig, run: Run) -> SweepResults:
    """Train, analyse and compare; returns what ``results.json`` holds (without provenance).

    Raises:
        UserError: everything training and analysis raise.
    """
    checkpoints.resolve_device(config.device)
    sweep_inputs.cache_clear()  # a folder may hold other images by now
    pair = sweep_inputs(config.recipe, config.seed)
    data = pair[0].found, pair[1].found
    run.inputs(training_images=pair[0].hash, validation_images=pair[1].hash)
    architecture = architecture_of(config.recipe, data[0].channels, 0.0)
    networks = [(dropout, seed) for seed in range(config.seeds) for dropout in (None, *config.dropouts)]
    arguments = [(config, dropout, seed, run.folder) for dropout, seed in networks]
    cores = config.threads or usable_cores()
    done = in_workers(train_and_analyse, arguments, workers=n_jobs(config, cores), threads=cores)
    for _ in progress(done, total=len(networks), label="networks", unit="network"):
        pass
    images = sweep_images(config, data)
    drawn(draw_filters, run, config, images)
    found, filled = collect(run.folder), config.recipe.filled()
    return SweepResults(
        found.sites(),
        claims=tuple(claims(found.networks)),
        training=found.training_rows(),
        data=[part.provenance for part in data],
        n_spectra=len(images),
        recipe={name: getattr(filled, name) for name in RECIPE_FIELDS},
        architecture=architecture,
    )


def draw_filters(run: Run, config: DropoutSweepConfig, images: Images) -> dict[str, SavedFigure]:
    """Eigenfilters of the first seed at the least and the second dropout (Fig. 3d)."""
    out = {}
    for dropout in sorted(config.dropouts)[:2]:
        model = checkpoints.load_model(run.path(f"models/{item_name(dropout, DRAWN_SEED)}"), config.device)
        name = f"eigenfilters_dropout_{dropout:g}"
        out[name] = draw_eigenfilters(run, eigenfilters(model, images[:1000]), name)
    return out


def write_page(config: DropoutSweepConfig, run: Run, sweep: Sweep) -> None:
    """`report.html` of the sweep."""
    words = [part.describe() for part in sweep_inputs(config.recipe, config.seed)]
    build_page(run, sweep, words).write(run)


def command(config: DropoutSweepConfig, run: Run) -> str:
    """`vision_codes dropout-sweep`."""
    results = dropout_sweep(config, run)
    words = {
        name: part.provenance()
        for name, part in zip(("training", "validation"), sweep_inputs(config.recipe, config.seed), strict=True)
    }
    run.finish(results.to_json(), images=words)
    rows = [claim.to_json() for claim in results.claims]
    run.write_text("tables/claims.csv", csv_text(rows))
    write_page(config, run, collect(run.folder))
    return text_table(rows, ["claim", "prediction", "measured", "interval", "verdict"])


def report_command(config: ReportConfig, run: Run) -> str:
    """`vision_codes report`."""
    sweep = collect(config.sweep)
    path = build_page(run, sweep).write(run)
    found = claims(sweep.networks)
    run.finish(ReportFile(tuple(found), sweep.sites()).to_json(), sweep=config.sweep)
    return text_table(claims_rows(found), ["claim", "prediction", "measured", "verdict"]) + f"\n\n{path}"
