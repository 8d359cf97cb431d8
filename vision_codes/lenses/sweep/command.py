"""`python -m vision_codes dropout-sweep` and `report`."""

from __future__ import annotations

from typing import Any

from eval.claims import claims_rows
from eval.errors import UserError
from eval.processes import usable_cores
from eval.progress import progress
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from eval.workers import in_workers
from vision_codes import checkpoints
from vision_codes.configs.dropout_sweep import DropoutSweepConfig, ReportConfig
from vision_codes.lenses.spectra.eigenfilters import eigenfilters
from vision_codes.lenses.spectra.figures import draw_eigenfilters
from vision_codes.lenses.sweep.chapter import build_page, write_page
from vision_codes.lenses.sweep.claims import claims
from vision_codes.lenses.sweep.collected import collect
from vision_codes.lenses.sweep.study import (
    DRAWN_SEED,
    RECIPE_FIELDS,
    Images,
    item_name,
    n_jobs,
    sweep_data,
    sweep_images,
    train_and_analyse,
)
from vision_codes.lenses.training.study import architecture_of


def dropout_sweep(config: DropoutSweepConfig, run: Run) -> dict[str, Any]:
    """Train, analyse and compare; returns what ``results.json`` holds (without provenance).

    Raises:
        UserError: no dropout or a bad one, no seeds, and everything training and analysis raise.
    """
    config = config.filled()
    if not config.dropouts or config.seeds < 1:
        raise UserError(
            f"expected dropouts and seeds; got {config.dropouts} and {config.seeds}; give at least one of each"
        )
    checkpoints.resolve_device(config.device)
    data = sweep_data(config)
    for dropout in config.dropouts:
        architecture_of(config, data[0].channels, dropout)  # refuse a bad dropout before hours of training
    networks = [(dropout, seed) for seed in range(config.seeds) for dropout in (None, *config.dropouts)]
    arguments = [(config, dropout, seed, run.folder) for dropout, seed in networks]
    cores = config.threads or usable_cores()
    done = in_workers(train_and_analyse, arguments, workers=n_jobs(config, cores), threads=cores)
    for _ in progress(done, total=len(networks), label="networks", unit="network"):
        pass
    images = sweep_images(config, data)
    _draw_filters(config, run, images)
    found = collect(run.folder)
    return {
        "sites": found.site_rows(),
        "claims": [claim.as_json() for claim in claims(found.networks)],
        "training": found.training_rows(),
        "data": [part.provenance for part in data],
        "n_spectra": len(images),
        "recipe": {name: getattr(config, name) for name in RECIPE_FIELDS},
        "architecture": architecture_of(config, data[0].channels, 0.0).as_json(),
    }


def _draw_filters(config: DropoutSweepConfig, run: Run, images: Images) -> None:
    """Eigenfilters of the first seed at the least and the second dropout (Fig. 3d)."""
    for dropout in sorted(config.dropouts)[:2]:
        model = checkpoints.load_model(run.path(f"models/{item_name(dropout, DRAWN_SEED)}"), config.device)
        draw_eigenfilters(run, eigenfilters(model, images[:1000]), f"eigenfilters_dropout_{dropout:g}")


def command(config: DropoutSweepConfig, run: Run) -> str:
    """`vision_codes dropout-sweep`."""
    results = dropout_sweep(config, run)
    run.finish(results)
    run.write_text("tables/claims.csv", csv_text(results["claims"]))
    write_page(run, run.folder)
    return text_table(results["claims"], ["claim", "prediction", "measured", "interval", "verdict"])


def report_command(config: ReportConfig, run: Run) -> str:
    """`vision_codes report`."""
    sweep = collect(config.sweep)
    path = build_page(run, sweep).write(run)
    found = claims(sweep.networks)
    run.finish({"claims": [claim.as_json() for claim in found], "sites": sweep.site_rows()}, sweep=config.sweep)
    return text_table(claims_rows(found), ["claim", "prediction", "measured", "verdict"]) + f"\n\n{path}"
