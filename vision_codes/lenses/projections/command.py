"""`python -m vision_codes projections`."""

from __future__ import annotations

from typing import Any

from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from vision_codes.configs.projections import ProjectionsConfig
from vision_codes.inputs import open_network
from vision_codes.lenses.projections.figures import draw_actions, draw_trajectories
from vision_codes.lenses.projections.study import COLUMNS, projections


def command(config: ProjectionsConfig, run: Run) -> str:
    """`vision_codes projections`."""
    model = open_network(config.model, config.device, untrained=config.untrained, seed=config.seed)
    settings: dict[str, Any] = {"noise": config.noise}
    if config.stimulus == "dot":
        settings |= {"radius": config.radius, "dot_size": config.dot_size}
    else:
        settings |= {"cycles": config.cycles, "orientation": config.orientation}
    records, arrays = projections(
        model,
        config.stimulus,
        config.sites,
        n_frames=config.frames,
        n_projections=config.projections,
        refinements=config.refinements,
        seed=config.seed,
        **settings,
    )
    run.write_arrays("projections", **{name.replace("/", "|"): value for name, value in arrays.items()})
    run.write_text("tables/projections.csv", csv_text(records))
    drawn = {row["site"]: arrays[f"{row['site']}/drawn"] for row in records if row["action"]}
    page = Page(f"Random projections of a moving {config.stimulus}", f"{len(records)} ReLU sites of {config.model}")
    section = page.section("Trajectories by depth")
    if drawn:
        section.figure(draw_trajectories(run, drawn))
    else:
        section.warning("No site moves enough for a projection; the table says why.")
    page.section("Action and what it explains").figure(draw_actions(run, records)).table(records, COLUMNS)
    page.write(run)
    provenance = {"folder": config.model, "architecture": model.architecture.as_json(), "untrained": config.untrained}
    run.finish({"sites": records, "stimulus": {"name": config.stimulus, **settings}}, model=provenance)
    return text_table(records, COLUMNS)
