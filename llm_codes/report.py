"""The main job: one model, one corpus, every chapter on one offline page.

A chapter is also a command of its own. It gets the open model, corpus, run folder and page, adds its sections and
returns its part of `results.json`. A chapter that fails is reported as failed, with its reason, and the others go on.
"""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from eval.commands import load_name
from eval.errors import IncompleteError, OneLineError, StoppedError, known_name
from eval.progress import say
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.explain import ExplainOptions
from llm_codes.configs.inputs import InputsOptions
from llm_codes.configs.polytopes import PolytopesOptions
from llm_codes.configs.report import CHAPTERS
from llm_codes.corpus import Corpus, Split, TokenisedDocuments
from llm_codes.inputs import Inputs as OpenInputs
from llm_codes.inputs import open_model_and_corpus
from llm_codes.lenses.spectra import command as spectra_module
from llm_codes.lenses.trajectories import chapter as trajectories_page
from llm_codes.lenses.trajectories import command as trajectories_module
from llm_codes.models import Model

if TYPE_CHECKING:
    from llm_codes.configs.report import ReportConfig


@dataclass(frozen=True)
class Inputs:
    """What a chapter works on."""

    config: ReportConfig
    run: Run
    model: Model
    corpus: Corpus
    page: Page


def derive(config: ReportConfig, reference: str, **changes: Any) -> Any:
    """A verb's own configuration: the fields it shares with the report's, its defaults, and the changes."""
    kind = load_name(reference)
    names = {field.name for field in dataclasses.fields(kind)}
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name in names}
    return kind(**{**shared, **changes})


def spectra_chapter(inputs: Inputs) -> dict[str, Any]:
    """Eigenspectra and alpha by depth, with the untrained control."""
    from llm_codes.lenses.spectra.chapter import add_chapter
    from llm_codes.lenses.spectra.claims import claims
    from llm_codes.lenses.spectra.figures import draw

    config = inputs.config
    trained, control = spectra_module.chapter(config, inputs.run, inputs.model, inputs.corpus)
    figures = draw(inputs.run, trained, control, (config.fit_first, config.fit_last))
    add_chapter(inputs.page, trained, control, figures)
    results = spectra_module.results_of(trained, control)
    return results | {"claims": [claim.as_json() for claim in claims(trained)]}


def trajectories_chapter(inputs: Inputs) -> dict[str, Any]:
    """Random projections, action, the smoothest directions."""
    reference = "llm_codes.configs.trajectories:TrajectoriesConfig"
    config = derive(inputs.config, reference, sites=("resid_post",), tokens=min(20_000, inputs.config.tokens))
    corpus = inputs.corpus.select(range(min(len(inputs.corpus), config.tokens // inputs.corpus.context + 1)))
    found, figures = trajectories_module.chapter(config, inputs.run, inputs.model, corpus)
    trajectories_page.add_chapter(inputs.page, found.rows, figures)
    return {"trajectories": found.rows}


def opened(inputs: Inputs) -> OpenInputs:
    """The report's model and documents as every verb's inputs."""
    config = inputs.config
    options = InputsOptions(**{name: getattr(config, name) for name in InputsOptions.__dataclass_fields__})
    documents = TokenisedDocuments(
        options.corpus,
        inputs.model.tokenizer,
        split=cast(Split, options.split),
        seed=config.seed,
        document_separator=options.document_separator,
        text_column=options.text_column,
    )
    return OpenInputs(options, inputs.model, documents, config.seed)


def explain_chapter(inputs: Inputs) -> dict[str, Any]:
    """Neurons, random projections and PCA directions of the report's text, explained and scored by token lookup."""
    from llm_codes.lenses.explain.chapter import chapter

    options = ExplainOptions(tokens=inputs.config.tokens, per_layer=8, scorers=())
    found = chapter(opened(inputs), options, inputs.run, inputs.page).to_json()
    return {"explain": {key: found[key] for key in ("by_layer", "paired", "leakage")}}


def polytopes_chapter(inputs: Inputs) -> dict[str, Any]:
    """Spline codes of two middle MLPs, their clusters as text, density, directions."""
    from llm_codes.lenses.polytopes.chapter import chapter

    middle = inputs.model.n_layers // 2
    options = PolytopesOptions(layers=f"{middle}:{middle + 2}", rays=8, dictionary_steps=0)
    found = chapter(opened(inputs), inputs.corpus, options, inputs.run, inputs.page)
    return {"polytopes": found.to_json()}


def circuits_chapter(inputs: Inputs) -> dict[str, Any]:
    """The sparse circuit that ships with the embedded model, tested; for other models: how to make one."""
    from llm_codes.lenses.circuits.chapter import report_chapter

    return report_chapter(inputs.model, inputs.corpus, inputs.run, inputs.page, seed=inputs.config.seed)


WRITERS: dict[str, Callable[[Inputs], dict[str, Any]]] = {
    "spectra": spectra_chapter,
    "trajectories": trajectories_chapter,
    "polytopes": polytopes_chapter,
    "circuits": circuits_chapter,
    "explain": explain_chapter,
}


def write_chapter(name: str, inputs: Inputs) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run one chapter; returns its results and its status (`done`, or `failed` with the reason, also on the page).

    Whatever a chapter raises, the others go on."""
    started = time.monotonic()
    say(f"chapter {name}")
    try:
        results = WRITERS[name](inputs)
    except StoppedError:  # about the run and not about the chapter
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, OneLineError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, OneLineError):
            inputs.run.write_text(f"{name}-error.log", "".join(traceback.format_exception(error)))
        inputs.page.section(name.capitalize(), name).warning(f"This chapter could not be written: {reason}")
        return {}, {"chapter": name, "status": "failed", "seconds": time.monotonic() - started, "reason": reason}
    return results, {"chapter": name, "status": "done", "seconds": round(time.monotonic() - started, 1), "reason": None}


def add_summary(page: Page, model: Model, corpus: Corpus) -> None:
    """What was read: model, text, policies."""
    section = page.section("What was read", "inputs")
    facts = model.provenance()
    section.text(
        f"{model.name}: {facts['n_parameters']:,} parameters, {model.n_layers} layers, width {model.d_model}, MLP "
        f"width {model.d_mlp} ({model.activation}), dtype {facts['dtype']}, weights as published."
    )
    read = corpus.describe()
    section.text(
        f"{corpus.n_tokens:,} tokens of {corpus.n_documents} documents of {read['source']} (split: {read['split']}), "
        f"in windows of {corpus.context}. BOS: {read['bos']}. Position 0 is left out of every statistic unless said."
    )


def command(config: ReportConfig, run: Run) -> str:
    """`python -m llm_codes report`."""
    names = [known_name(name, CHAPTERS, "chapter") for name in config.chapters]
    model, corpus = open_model_and_corpus(config)
    page = Page(f"The code of {model.name}", "Eigenspectra, trajectories, polytopes, sparse circuits and explanations")
    add_summary(page, model, corpus)
    inputs = Inputs(config, run, model, corpus, page)
    results: dict[str, Any] = {}
    chapters = []
    for name in names:
        found, status = write_chapter(name, inputs)
        results |= found
        chapters.append(status)
    run.finish({**results, "chapters": chapters}, model=model.provenance(), corpus=corpus.describe())
    page.write(run)
    failed = [f"{status['chapter']}: {status['reason']}" for status in chapters if status["status"] == "failed"]
    if failed:
        counts = f"{len(failed)} of {len(chapters)} chapters failed"
        raise IncompleteError(f"{counts} ({'; '.join(failed)}); the rest is in {run.path('report.html')}")
    return text_table(chapters, ["chapter", "status", "seconds"]) + f"\n{run.path('report.html')}"
