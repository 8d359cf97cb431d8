"""`python -m llm_codes polytopes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.claims import claims_rows
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from llm_codes.inputs import open_inputs
from llm_codes.lenses.polytopes.cards import card_text
from llm_codes.lenses.polytopes.chapter import chapter, tables

if TYPE_CHECKING:
    from llm_codes.configs.polytopes import PolytopesConfig


def command(config: PolytopesConfig, run: Run) -> str:
    """`python -m llm_codes polytopes`."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    corpus = inputs.view(config.windows)
    read = f"{corpus.n_tokens:,} tokens of {config.inputs.corpus}, MLPs {config.polytopes.layers}"
    page = Page(f"Polytopes of {inputs.model.name}", read)
    results = chapter(inputs, corpus, config.polytopes, run, page)
    run.write_text("clusters.txt", "\n\n".join(map(card_text, results.clusters.codes.cards)) + "\n")
    for name, rows in tables(results).items():
        run.write_text(f"tables/{name}.csv", csv_text(rows))
    if run.writes:
        page.write(run)
    run.finish(results.to_json(), model=inputs.model.provenance(), corpus=corpus.describe())
    return text_table(claims_rows(results.claims), ["source", "verdict", "measured", "claim"])
