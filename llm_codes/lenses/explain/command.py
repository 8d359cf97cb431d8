"""`python -m llm_codes explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eval.errors import IncompleteError
from eval.explanation.evaluate import Settings, UnitResult
from llm_codes.corpus import load_corpus
from llm_codes.lenses.explain import dry_run
from llm_codes.lenses.explain.backends import open_parts
from llm_codes.lenses.explain.chapter import write_outputs
from llm_codes.lenses.explain.rows import summarise
from llm_codes.lenses.explain.study import Recorded, explain, record
from llm_codes.lenses.explain.units import (
    describe_readouts,
)
from llm_codes.models import load_model

if TYPE_CHECKING:
    from eval.runs import Run
    from llm_codes.configs.explain import ExplainConfig


def describe_setting(config: ExplainConfig, recorded: Recorded) -> str:
    """One paragraph: what was compared, on which windows, under which sign policy."""
    book = next(iter(recorded.books.values()))
    n_documents = len(np.unique(recorded.windows.document[book.shared["score"]]))
    return (
        f"{config.model} on {config.corpus}; explainer {config.explainer}, simulator {config.simulator}, calibration "
        f"{config.calibration}. Primary score: Pearson correlation pooled over the {len(book.shared['score'])} random "
        f"windows of {config.window} tokens ({n_documents} documents) that all units share. Neurons and directions are "
        f"read at {config.site}; neurons {config.neurons}. A unit's activation is relu(x); directions are centred on "
        f"the explain set, sign policy {config.sign}. Explain and score sets share no document."
    )


def command(config: ExplainConfig, run: Run) -> str:
    """`python -m llm_codes explain`."""

    model = load_model(config.model, device=config.device, dtype=config.dtype)
    corpus = load_corpus(
        config.corpus,
        model.tokenizer,
        context=config.window + 1,
        n_tokens=config.tokens,
        split=config.split,  # type: ignore[arg-type]
        seed=config.seed,
    )
    with open_parts(config, run, model) as parts:
        lookup = parts.needs_no_language_model
        n_top = config.top_windows if config.top_windows >= 0 else (10 if lookup else 5)
        recorded = record(
            model,
            corpus,
            kinds=config.units,
            per_layer=config.per_layer,
            layers=config.layers,
            site=config.site,
            neurons=config.neurons,
            sign=config.sign,
            controls=config.controls,
            random_windows=config.random_windows or (120 if lookup else 20),
            top_windows=n_top,
            calibrate=config.calibration != "none",
            batch_size=config.batch_size,
            seed=config.seed,
        )
        settings = Settings(
            top_windows=n_top,
            calibration=config.calibration,
            tasks=config.scorers,
            questions=config.questions,
            n_resamples=config.resamples,
            seed=config.seed,
        )
        if config.dry_run:
            return dry_run.describe(parts, recorded.books, settings)
        results = explain(recorded, parts, settings)
        tables = {
            "setting": describe_setting(config, recorded),
            **summarise(results, model.n_layers, config.seed),
            "leakage": recorded.audit(),
            "cost": parts.cost(),
            "skipped_controls": recorded.skipped,
            "readouts": describe_readouts(recorded.readouts),
        }
    table = write_outputs(
        run,
        tables,
        results,
        recorded,
        records=config.records,
        provenance={"model": model.provenance(), "corpus": corpus.describe()},
    )
    require_complete(results, run)
    return table


def require_complete(results: Sequence[UnitResult], run: Run) -> None:
    """Raise `IncompleteError` (exit status 4) where predictions are missing for want of a reply that could be read.

    A unit that is silent on the explain documents was never asked about, so nothing is missing there.
    """
    asked = [result for result in results if result.scale > 0]
    missing = sum(result.missing for result in asked)
    if missing:
        units = sum(result.missing > 0 for result in asked)
        raise IncompleteError(
            f"{missing} predictions of {units} of {len(asked)} units are missing; what there is, and every reason, is "
            f"in {run.path('results.json')}: run the same command to ask again for replies that never came"
        )
