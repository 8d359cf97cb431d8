"""`python -m vision_codes spectra` and `eigenfilters`."""

from __future__ import annotations

from eval.progress import say
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from vision_codes.configs.spectra import EigenfiltersConfig, SpectraConfig
from vision_codes.inputs import describe_model, open_images, open_model
from vision_codes.lenses.spectra.eigenfilters import eigenfilters
from vision_codes.lenses.spectra.figures import draw_eigenfilters, draw_spectra
from vision_codes.lenses.spectra.study import COLUMNS, spectra


def command(config: SpectraConfig, run: Run) -> str:
    """`vision_codes spectra`."""
    model = open_model(config)
    images, provenance = open_images(config, model)
    index_range = (config.first, config.last)
    found = spectra(
        model,
        images,
        config.sites,
        index_range=index_range,
        max_units=config.max_units,
        max_memory_gb=config.max_memory_gb,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    thin = [row["site"] for row in found.rows if row["images_per_unit"] < 4]
    if thin:
        say(f"warning: fewer than 4 images per unit at {len(thin)} sites; read alpha_corrected there, not alpha")
    run.write_arrays("eigenvalues", **found.eigenvalues)
    run.write_text("tables/spectra.csv", csv_text(found.rows))
    page = Page("Eigenspectra by depth", f"{len(images)} images, {len(found.rows)} ReLU sites of {config.model}")
    section = page.section("Power-law exponent").figure(draw_spectra(run, found, index_range))
    if thin:
        section.warning(f"Fewer than 4 images per unit at {len(thin)} sites: read alpha_corrected there, not alpha.")
    section.table(found.rows, COLUMNS)
    page.write(run)
    run.finish({"sites": found.rows}, model=describe_model(model, config), images=provenance)
    return text_table(found.rows, COLUMNS)


def eigenfilters_command(config: EigenfiltersConfig, run: Run) -> str:
    """`vision_codes eigenfilters`."""
    model = open_model(config)
    images, provenance = open_images(config, model)
    found = eigenfilters(model, images, config.sites, config.n_filters)
    for item in found:
        run.write_arrays(item.site.name, vectors=item.vectors, pixels=item.pixels)
    rows = [
        {"site": f.site.name, "layer": f.site.layer, "share": f.share.tolist(), "linear_r2": f.linear_r2.tolist()}
        for f in found
    ]
    run.write_text("tables/eigenfilters.csv", csv_text(rows))
    page = Page("What the leading directions look like", f"{len(images)} images, {len(found)} sites of {config.model}")
    page.section("Eigenvectors by depth").figure(draw_eigenfilters(run, found)).table(rows)
    page.write(run)
    run.finish({"sites": rows}, model={"folder": config.model, "untrained": config.untrained}, images=provenance)
    return text_table(rows)
