"""`python -m llm_codes spectra`: opens inputs, measures, writes the run folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eval.processes import agreed
from eval.report.figures import drawn
from eval.report.page import Page
from eval.report.tables import csv_text
from eval.runs import Run
from llm_codes.activation_source import ActivationSource, sites_of
from llm_codes.activation_store.inputs import open_inputs_or_store
from llm_codes.configs.spectra import SpectraOptions
from llm_codes.corpus import Corpus
from llm_codes.harvest import Checkpoint
from llm_codes.inputs import Inputs
from llm_codes.lenses.spectra.chapter import add_chapter
from llm_codes.lenses.spectra.claims import claims
from llm_codes.lenses.spectra.figures import draw
from llm_codes.lenses.spectra.rows import SiteSpectrum, Spectra, SpectraResults
from llm_codes.lenses.spectra.study import joined, planned_passes, spectra
from llm_codes.models import untrained_like
from llm_codes.planned_passes import PlannedPass, say_passes

if TYPE_CHECKING:
    from llm_codes.configs.spectra import SpectraConfig


def measure(
    options: SpectraOptions, inputs: Inputs, run: Run, source: ActivationSource, corpus: Corpus, *, name: str
) -> Spectra:
    """Spectra of one model, kept in the run folder: a rerun reads them back."""
    code = (spectra.__module__,)
    stored, halves = (run.read_arrays(f"{kind}-{name}", of=code) for kind in ("eigenvalues", "split-half"))
    there = stored is not None and halves is not None and run.has_item(f"spectra-{name}", of=code)
    if agreed(there) and stored is not None and halves is not None:
        rows = tuple(map(SiteSpectrum.from_json, run.item(f"spectra-{name}", list, of=code)))
        return Spectra(rows, stored, halves, options.index_range)
    places = sites_of(source, options.sites, options.layers)
    planned = planned_passes(source, places, options, corpus.context, inputs.options)
    if len(planned) > 1:
        say_passes(planned, inputs.options.max_memory_gb, "spectra")
        found = joined([_one_pass(options, inputs, run, source, corpus, one, name) for one in planned], places)
    else:
        checkpoint = Checkpoint(run.path(f"arrays/spectra-pass-{name}"))
        walk, seed = inputs.options, inputs.seed
        found = spectra(source, corpus, options, harvest_options=walk, seed=seed, checkpoint=checkpoint)
    run.write_arrays(f"eigenvalues-{name}", of=code, **found.eigenvalues)
    run.write_arrays(f"split-half-{name}", of=code, **found.split_half)
    kept = run.item(f"spectra-{name}", found.rows, of=code)
    return replace(found, sites=tuple(map(SiteSpectrum.from_json, kept)))  # as a rerun reads it back


def _one_pass(
    options: SpectraOptions,
    inputs: Inputs,
    run: Run,
    source: ActivationSource,
    corpus: Corpus,
    planned: PlannedPass,
    name: str,
) -> Spectra:
    """The sites of one pass, kept by themselves: a killed run does not read the text again for them."""
    mine = replace(options, sites=tuple(site.name for site in planned.sites), layers=":")
    return measure(mine, inputs, run, source, corpus, name=f"pass-{planned.name}-{name}")


def chapter(
    options: SpectraOptions, inputs: Inputs, corpus: Corpus, run: Run, *, control: bool
) -> tuple[Spectra, Spectra | None]:
    """The trained model's spectra, and the untrained control's; shared by the command and by `report`."""
    trained = measure(options, inputs, run, inputs.source, corpus, name="model")
    untrained = None
    if control and not inputs.source.untrained:
        fresh = untrained_like(inputs.model, inputs.seed)
        untrained = measure(options, inputs, run, fresh, corpus, name="untrained")
    rows = [{"model": "trained", **row} for row in trained.rows()]
    rows += [{"model": "untrained", **row} for row in (untrained.rows() if untrained else [])]
    shown = [{name: value for name, value in row.items() if name != "document_halves"} for row in rows]
    run.write_text("tables/spectra.csv", csv_text(shown))
    return trained, untrained


def results_of(trained: Spectra, control: Spectra | None) -> SpectraResults:
    """The documented keys of `results.json`."""
    return SpectraResults(trained.sites, control.sites if control else None, tuple(claims(trained, control)))


def command(config: SpectraConfig, run: Run) -> str:
    """`python -m llm_codes spectra`."""
    computed = "the untrained control (--no-control leaves it out)" if config.control else ""
    inputs = open_inputs_or_store(
        config.inputs, config.activations, seed=config.seed, device=config.device, run=run, needs_model=computed
    )
    corpus = inputs.view(config.windows)
    trained, control = chapter(config.spectra, inputs, corpus, run, control=config.control)
    if run.writes:
        page = Page(f"Eigenspectra of {inputs.source.name}", corpus.describe_in_words())
        page.section("What was read", "inputs").text(inputs.describe())
        add_chapter(page, trained, control, drawn(draw, run, trained, control), positions=inputs.positions())
        page.write(run)
    results = results_of(trained, control)
    run.finish(results.to_json(), model=inputs.source.provenance(), corpus=corpus.describe())
    return results.text()
