"""`python -m vision_codes projections`: open the network, measure site by site, finish the run folder."""

from __future__ import annotations

from dataclasses import replace

from eval.report.tables import text_table
from eval.runs import Run
from vision_codes.configs.projections import ProjectionsConfig
from vision_codes.harvest import sites
from vision_codes.inputs import network_facts, open_network, weights_hash
from vision_codes.lenses.projections.chapter import reasons_text, write_page
from vision_codes.lenses.projections.results import COLUMNS, Projections, SiteProjections
from vision_codes.lenses.projections.study import site_projections
from vision_codes.resnet_vae import ResNetVAE

STUDY = ("vision_codes.lenses.projections.study",)


def measure(config: ProjectionsConfig, run: Run, model: ResNetVAE) -> Projections:
    """Every site, each kept in the run folder as it is done: a run that is continued measures the others only."""
    names = [site.name for site in sites(model, config.projections.sites)]
    kept = {name: run.read_arrays(f"projections-{name}") for name in names}
    missing = [name for name in names if kept[name] is None or not run.has_item(f"projections-{name}", of=STUDY)]
    if missing:
        rest = replace(config.projections, sites=tuple(missing))
        for row, arrays in site_projections(model, config.stimulus, rest, seed=config.seed):
            run.write_arrays(f"projections-{row.site}", **arrays)
            kept[row.site] = arrays
            run.item(f"projections-{row.site}", row.to_json, of=STUDY)
    rows = tuple(SiteProjections.from_json(run.item(f"projections-{name}", dict, of=STUDY)) for name in names)
    arrays = {f"{name}/{key}": value for name in names for key, value in (kept[name] or {}).items()}
    return Projections(rows, arrays, config.stimulus.stimulus)


def command(config: ProjectionsConfig, run: Run) -> str:
    """`vision_codes projections`."""
    model = open_network(config.model, config.device, untrained=config.untrained, seed=config.seed)
    run.inputs(model=weights_hash(model))
    found = measure(config, run, model)
    run.write_arrays("projections", **{name.replace("/", "|"): value for name, value in found.arrays.items()})
    run.write_text("tables/projections.csv", found.to_csv())
    moving = {"name": config.stimulus.stimulus, **config.stimulus.settings()}
    facts = network_facts(model, config.model, untrained=config.untrained).to_json()
    whole = run.finish({"sites": found.rows(), "stimulus": moving}, model=facts)
    write_page(run, found, config.stimulus, config.model, whole["provenance"])
    return text_table(found.rows(), COLUMNS) + reasons_text(found)
