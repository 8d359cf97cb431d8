"""`python -m llm_codes circuit weights`: open inputs, run the study by piece, write the run folder."""

from __future__ import annotations

from dataclasses import replace

from eval.pieces import Pieces
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.weights import CircuitWeightsConfig
from llm_codes.inputs import open_inputs
from llm_codes.lenses.graphs.transcoders import open_transcoders, transcoders_sha256
from llm_codes.lenses.weights.chapter import COLUMNS, add_weights, agreement_rows
from llm_codes.lenses.weights.claims import claims_of
from llm_codes.lenses.weights.study import feature_weights


def command(config: CircuitWeightsConfig, run: Run) -> str:
    """Weights between features on training documents, tested on held-out ones; resumes by piece and window."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    transcoders = open_transcoders(inputs.model, config.transcoders)
    held_out = inputs.view(config.windows)
    train = inputs.of_split("train").windows(config.windows.context, n_tokens=config.weights.fit_tokens)
    texts = {name: str(one.describe()["sha256_of_tokens"]) for name, one in (("corpus", held_out), ("train", train))}
    run.inputs(transcoders=transcoders_sha256(transcoders), **texts)
    results = feature_weights(
        inputs.model,
        train,
        held_out,
        [item.folder for item in transcoders],
        config.weights,
        config.inputs,
        seed=config.seed,
        pieces=Pieces(run, (feature_weights.__module__,)),
    )
    results = replace(results, claims=tuple(claims_of(results.agreement)))
    page = Page(f"Weights between features of {inputs.model.name}", "Edges that hold over a corpus, tested")
    add_weights(page.section("Weights between features", "weights"), run, results, inputs.describe())
    page.write(run)
    run.finish(results.to_json(), model=inputs.model.provenance(), corpus=held_out.describe())
    return text_table(agreement_rows(results.agreement), COLUMNS)
