"""`python -m vision_codes spectra` and `eigenfilters`: open the inputs, measure site by site, finish the run folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eval.progress import say, say_cut
from eval.report.tables import text_table
from eval.runs import Run
from vision_codes.configs.spectra import EigenfiltersConfig, SpectraConfig
from vision_codes.harvest import Site, sites
from vision_codes.inputs import Inputs, inputs_for, network_facts, open_network, weights_hash
from vision_codes.lenses.spectra.chapter import reasons_text, write_filters_page, write_spectra_page
from vision_codes.lenses.spectra.eigenfilters import Eigenfilters, site_filters
from vision_codes.lenses.spectra.results import SiteFilters, SiteSpectrum, Spectra
from vision_codes.lenses.spectra.study import check_memory, site_spectra
from vision_codes.resnet_vae import ResNetVAE

STUDY = ("vision_codes.lenses.spectra.study",)
FILTERS = ("vision_codes.lenses.spectra.eigenfilters",)


def open_both(config: SpectraConfig | EigenfiltersConfig, run: Run) -> tuple[ResNetVAE, Inputs]:
    """The network and the images of a run; their content is part of its identity."""
    model = open_network(config.model, config.device, untrained=config.untrained, seed=config.seed)
    inputs = inputs_for(model, config.inputs, seed=config.seed, reader=config.model)
    run.inputs(model=weights_hash(model), images=inputs.hash)
    return model, inputs


def measure(config: SpectraConfig, run: Run, model: ResNetVAE, inputs: Inputs) -> Spectra:
    """Every site, each kept in the run folder as it is done: a run that is continued measures the others only."""
    places = sites(model, config.spectra.sites)
    check_memory(places, len(inputs.shown), config.spectra)
    kept = {site.name: run.read_arrays(f"eigenvalues-{site.name}") for site in places}
    missing = [site.name for site in places if not _is_kept(run, site, kept[site.name])]
    if missing:
        rest = replace(config.spectra, sites=tuple(missing))
        size = config.inputs.batch_size
        for row, values in site_spectra(model, inputs.shown, rest, batch_size=size, seed=config.seed):
            run.write_arrays(f"eigenvalues-{row.site}", values=values)
            kept[row.site] = {"values": values}
            run.item(f"spectrum-{row.site}", row.to_json, of=STUDY)
    rows = [SiteSpectrum.from_json(run.item(f"spectrum-{site.name}", dict, of=STUDY)) for site in places]
    eigenvalues = {name: np.asarray((arrays or {})["values"]) for name, arrays in kept.items()}
    return Spectra(tuple(rows), eigenvalues, config.spectra.index_range)


def _is_kept(run: Run, site: Site, arrays: object) -> bool:
    return arrays is not None and run.has_item(f"spectrum-{site.name}", of=STUDY)


def command(config: SpectraConfig, run: Run) -> str:
    """`vision_codes spectra`."""
    model, inputs = open_both(config, run)
    found = measure(config, run, model, inputs)
    thin = [row.site for row in found.sites if row.images_per_unit < 4]
    if thin:
        say(f"warning: fewer than 4 images per unit at {len(thin)} sites; read alpha_corrected there, not alpha")
    run.write_arrays("eigenvalues", **found.eigenvalues)
    run.write_text("tables/spectra.csv", found.to_csv())
    facts = network_facts(model, config.model, untrained=config.untrained).to_json()
    whole = run.finish({"sites": found.rows()}, model=facts, images=inputs.provenance())
    write_spectra_page(run, found, inputs, config.model, thin, whole["provenance"])
    return found.text() + reasons_text({row.site: row.reasons() for row in found.sites})


def filters_row(found: Eigenfilters, n_images: int) -> SiteFilters:
    """The numbers of one site's filters; undefined where every direction explains everything."""
    site = found.site
    if n_images < 3:
        reason = f"{n_images} images span {n_images - 1} direction, which holds everything; give at least 3"
        return SiteFilters(site.name, site.layer, None, None, len(found.share), reason)
    return SiteFilters(site.name, site.layer, found.share.tolist(), found.linear_r2.tolist(), len(found.share))


def measure_filters(config: EigenfiltersConfig, run: Run, model: ResNetVAE, inputs: Inputs) -> list[Eigenfilters]:
    """Every site, each kept in the run folder as it is done."""
    places = sites(model, config.eigenfilters.sites)
    names = ("vectors", "pixels", "share", "linear_r2")
    kept: dict[str, Eigenfilters] = {}
    for site in places:
        arrays = run.read_arrays(site.name)
        if arrays is not None and set(names) <= set(arrays) and run.has_item(f"filters-{site.name}", of=FILTERS):
            kept[site.name] = Eigenfilters(site, *(arrays[name] for name in names))
    missing = tuple(site.name for site in places if site.name not in kept)
    if missing:
        rest = replace(config.eigenfilters, sites=missing)
        for found in site_filters(model, inputs.shown, rest, batch_size=config.inputs.batch_size):
            run.write_arrays(found.site.name, **{name: getattr(found, name) for name in names})
            run.item(f"filters-{found.site.name}", filters_row(found, len(inputs.shown)).to_json, of=FILTERS)
            kept[found.site.name] = found
    return [kept[site.name] for site in places]


def eigenfilters_command(config: EigenfiltersConfig, run: Run) -> str:
    """`vision_codes eigenfilters`."""
    model, inputs = open_both(config, run)
    found = measure_filters(config, run, model, inputs)
    most = max(len(item.share) for item in found)
    say_cut("--filters", config.eigenfilters.filters, most, f"directions at most over {len(inputs.shown)} images")
    rows = [filters_row(item, len(inputs.shown)) for item in found]
    facts = network_facts(model, config.model, untrained=config.untrained).to_json()
    sites_json = [row.to_json() for row in rows]
    whole = run.finish({"sites": sites_json}, model=facts, images=inputs.provenance())
    write_filters_page(run, found, rows, inputs, config.model, whole["provenance"])
    return text_table(sites_json) + reasons_text({row.site: [row.reason] if row.reason else [] for row in rows})
