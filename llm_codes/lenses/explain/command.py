"""`python -m llm_codes explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eval.errors import BudgetReachedError, IncompleteError
from eval.explanation.rescoring.predictions import FILE
from eval.explanation.rescoring.rescore import rescore
from eval.files import content_hash
from eval.report.tables import csv_text
from llm_codes.inputs import open_inputs
from llm_codes.lenses.explain import dry_run
from llm_codes.lenses.explain.backends import open_parts
from llm_codes.lenses.explain.chapter import study, write_outputs
from llm_codes.lenses.explain.study import Study, record, settings_of

if TYPE_CHECKING:
    from eval.runs import Run
    from llm_codes.configs.explain import ExplainConfig, RescoreConfig


def command(config: ExplainConfig, run: Run) -> str:
    """`python -m llm_codes explain`.

    Raises `IncompleteError` (exit status 4) where predictions are missing for want of a reply that could be read, and
    `BudgetReachedError` (3) where the budget ended a run that stops on what it shows; either way with its results.
    """
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    options = config.explain
    with open_parts(options, inputs.model, run, dry_run=config.dry_run) as parts:
        if config.dry_run:
            length = options.window + inputs.options.exclude_positions
            corpus = inputs.windows(length, n_tokens=options.tokens)
            recorded = record(inputs.model, corpus, options, inputs.options, seed=config.seed)
            return dry_run.describe(parts, recorded.books, settings_of(options, config.seed))
        done = study(inputs, options, run, parts, keep_predictions=config.predictions)
    table = write_outputs(run, done, records=config.records, provenance=inputs.provenance())
    require_complete(done, run)
    if done.stopped:
        raise BudgetReachedError(f"{done.stopped}; what was decided until then is in {run.path('results.json')}")
    return table


def require_complete(done: Study, run: Run) -> None:
    """Raise `IncompleteError` where predictions are missing. A unit that is silent on the explain documents was never
    asked about, so nothing is missing there."""
    missing = done.found.missing_predictions
    if missing:
        asked = [unit for unit in done.units if unit.asked]
        short = sum(unit.missing > 0 for unit in asked)
        raise IncompleteError(
            f"{missing} predictions of {short} of {len(asked)} units are missing; what there is, and every reason, is "
            f"in {run.path('results.json')}: run the same command to ask again for replies that never came"
        )


def rescore_command(config: RescoreConfig, run: Run) -> str:
    """`python -m llm_codes explain rescore RUN`."""
    path = Path(config.run) / FILE
    if path.is_file():
        run.inputs(predictions=content_hash(path))
    found = rescore(config.run, config.metric, config.mix, seed=config.seed)
    for name, rows in (("by_layer", found.by_layer), ("paired", found.paired), ("units", found.units)):
        run.write_text(f"tables/{name}.csv", csv_text([row.to_json() for row in rows]))
    run.finish(found.to_json())
    return f"{found.metric} on {found.mix} windows\n{found.text()}"
