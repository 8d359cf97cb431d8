"""`python -m llm_codes sae replacement`: open inputs, run the study by layer, write the run folder."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from eval.pieces import Pieces
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.replacement import ReplacementConfig
from llm_codes.inputs import open_inputs
from llm_codes.lenses.replacement.chapter import COLUMNS, add_replacement, table_rows
from llm_codes.lenses.replacement.claims import claims_of
from llm_codes.lenses.replacement.rows import ALL_LAYERS, ReplacementResults
from llm_codes.lenses.replacement.stand_ins import open_stand_ins, open_untrained_stand_ins, references
from llm_codes.lenses.replacement.study import replacement_model
from llm_codes.lenses.replacement.untrained import untrained_replacement
from llm_codes.models import Model


def command(config: ReplacementConfig, run: Run) -> str:
    """The replacement model on held-out documents; resumes by layer."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    opened = open_stand_ins(inputs.model, config.transcoders)
    held_out = inputs.view(config.windows)
    train = inputs.of_split("train").windows(config.windows.context, n_tokens=config.replacement.fit_tokens)
    read_from = {
        name: str(one.describe()["sha256_of_tokens"]) for name, one in (("corpus", held_out), ("train", train))
    }
    read_from["transcoders"] = opened.sha256
    control = open_untrained_stand_ins(inputs.model, config.untrained, config.seed, opened)
    hashes = {} if control is None else {"untrained": control.stand_ins.sha256}
    run.inputs(**read_from, **hashes)
    pieces = Pieces(run, (replacement_model.__module__,))

    def measure(model: Model, transcoders: Any, pieces: Pieces) -> ReplacementResults:
        return replacement_model(
            model, train, held_out, transcoders, config.replacement, config.inputs, seed=config.seed, pieces=pieces
        )

    results = measure(inputs.model, references(opened), pieces)
    options = json.dumps({**asdict(config.replacement), "seed": config.seed}, sort_keys=True)
    beside = untrained_replacement(
        control,
        {"model": inputs.model.weights_sha256, **read_from, "options": options},
        lambda model, transcoders: measure(model, transcoders, pieces.below("untrained-")),
    )
    results = replace(results, untrained=beside)
    results = replace(results, claims=tuple(claims_of(results)))
    page = Page(f"Replacement model of {inputs.model.name}", "Transcoders in place of MLPs")
    add_replacement(page.section("Replacement model", "replacement"), run, results, inputs.describe())
    page.write(run)
    run.finish(results.to_json(), model=inputs.model.provenance(), corpus=held_out.describe())
    return text_table(table_rows(row for row in results.replacements if row.layer == ALL_LAYERS), COLUMNS)
