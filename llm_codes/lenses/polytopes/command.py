"""`python -m llm_codes polytopes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.claims import claims_rows
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from llm_codes.inputs import open_model_and_corpus
from llm_codes.lenses.polytopes.cards import card_text
from llm_codes.lenses.polytopes.chapter import add_chapter, tables
from llm_codes.lenses.polytopes.claims import documented, judge
from llm_codes.lenses.polytopes.figures import draw
from llm_codes.lenses.polytopes.study import polytopes

if TYPE_CHECKING:
    from llm_codes.configs.polytopes import PolytopesConfig


def command(config: PolytopesConfig, run: Run) -> str:
    """`python -m llm_codes polytopes`."""
    model, corpus = open_model_and_corpus(config)
    found = polytopes(
        model, corpus, layers=config.layers, min_cluster_size=config.min_cluster_size,
        cluster_method=config.cluster_method, exact_up_to=config.exact_up_to,
        n_directions=config.directions, negative=config.negative, n_features=config.features,
        dictionary_steps=config.dictionary_steps, dictionary_tokens=config.dictionary_tokens,
        density_layers=config.density_layers, n_rays=config.rays, seed=config.seed, batch_size=config.batch_size,
        exclude_positions=config.exclude_positions, max_memory_gb=config.max_memory_gb,
    )  # fmt: skip
    claims = judge(found, config.seed)
    results = {**found.results, **documented(claims)}
    run.write_arrays(
        "codes",
        words=found.codes.words,
        code_labels=found.of_codes.labels,
        activation_labels=found.of_activations.labels,
    )
    run.write_text("clusters.txt", "\n\n".join(map(card_text, found.results["clusters"]["codes"]["cards"])) + "\n")
    for name, rows in tables(results).items():
        run.write_text(f"tables/{name}.csv", csv_text(rows))
    if run.writes:
        page = Page(
            f"Polytopes of {model.name}", f"{len(found.sample)} tokens of {config.corpus}, MLPs {config.layers}"
        )
        add_chapter(page, results, draw(run, found))
        page.write(run)
    run.finish(results, model=model.provenance(), corpus=corpus.describe())
    return text_table(claims_rows(claims), ["source", "verdict", "measured", "claim"])
