"""`python -m llm_codes spectra`: opens inputs, measures, writes the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from llm_codes.corpus import Corpus
from llm_codes.harvest import Checkpoint
from llm_codes.inputs import open_model_and_corpus
from llm_codes.lenses.spectra.chapter import add_chapter
from llm_codes.lenses.spectra.claims import claims
from llm_codes.lenses.spectra.figures import draw
from llm_codes.lenses.spectra.study import COLUMNS, Spectra, spectra
from llm_codes.models import Model, untrained_like

if TYPE_CHECKING:
    from llm_codes.configs.spectra import SpectraConfig


def measure(config: SpectraConfig, run: Run, model: Model, corpus: Corpus, *, name: str) -> Spectra:
    """Spectra of one model, kept in the run folder: a rerun reads them back."""
    stored, code = run.read_arrays(f"eigenvalues-{name}"), (spectra.__module__,)
    if stored is not None and run.has_item(f"spectra-{name}", of=code):
        rows = run.item(f"spectra-{name}", lambda: [], of=code)
        halves = run.read_arrays(f"split-half-{name}") or {}
        return Spectra(rows, stored, halves)
    found = spectra(
        model,
        corpus,
        config.sites,
        layers=config.layers,
        index_range=(config.fit_first, config.fit_last),
        with_position_0=config.with_position_0,
        seed=config.seed,
        batch_size=config.batch_size,
        exclude_positions=config.exclude_positions,
        max_memory_gb=config.max_memory_gb,
        checkpoint=Checkpoint(run.path(f"arrays/spectra-pass-{name}")),
    )
    run.write_arrays(f"eigenvalues-{name}", **found.eigenvalues)
    run.write_arrays(f"split-half-{name}", **found.split_half)
    run.item(f"spectra-{name}", lambda: found.rows, of=code)
    return found


def chapter(config: SpectraConfig, run: Run, model: Model, corpus: Corpus) -> tuple[Spectra, Spectra | None]:
    """The trained model's spectra, and the untrained control's; shared by the command and by `report`."""
    trained = measure(config, run, model, corpus, name="model")
    control = None
    if config.control and not model.untrained and hasattr(model.bridge, "original_model"):
        control = measure(config, run, untrained_like(model, config.seed), corpus, name="untrained")
    rows = [{"model": "trained", **row} for row in trained.rows]
    rows += [{"model": "untrained", **row} for row in (control.rows if control else [])]
    run.write_text("tables/spectra.csv", csv_text(rows))
    return trained, control


def results_of(trained: Spectra, control: Spectra | None) -> dict[str, Any]:
    """The documented keys of `results.json`."""
    return {"sites": trained.rows, "control_sites": control.rows if control else None}


def command(config: SpectraConfig, run: Run) -> str:
    """`python -m llm_codes spectra`."""

    model, corpus = open_model_and_corpus(config)
    trained, control = chapter(config, run, model, corpus)
    if run.writes:
        page = Page(f"Eigenspectra of {model.name}", f"{corpus.n_tokens:,} tokens of {config.corpus}")
        add_chapter(page, trained, control, draw(run, trained, control, (config.fit_first, config.fit_last)))
        page.write(run)
    results = results_of(trained, control) | {"claims": [claim.as_json() for claim in claims(trained)]}
    run.finish(results, model=model.provenance(), corpus=corpus.describe())
    return text_table(trained.rows, COLUMNS)
