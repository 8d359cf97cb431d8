"""`python -m llm_codes connector train|eval|show`, and the whole evaluation as one function."""

from __future__ import annotations

from eval.measures.connectors.connector import ConnectorFit
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.connectors import ConnectorTrainConfig
from llm_codes.inputs import open_model_and_corpus
from llm_codes.lenses.connectors.files import save_connector
from llm_codes.lenses.connectors.pairs import harvest_options, harvest_pairs
from llm_codes.lenses.connectors.study import (
    train_connector,
)
from llm_codes.lenses.saes.files import load_sae


def train_command(config: ConnectorTrainConfig, run: Run) -> str:
    """`python -m llm_codes connector train`."""
    first, second = load_sae(config.from_, device=config.device), load_sae(config.to, device=config.device)
    model, corpus = open_model_and_corpus(config)
    pairs = harvest_pairs(model, corpus, first, second, **harvest_options(config))
    options = ConnectorFit(
        activation=config.activation,
        l1=config.l1,
        edges_per_output=config.edges,
        steps=config.steps,
        refit_steps=config.refit_steps,
        learning_rate=config.learning_rate,
        seed=config.seed,
    )
    connector = train_connector(model, pairs, first, second, options, init=config.init, loss=config.loss)
    save_connector(connector, run.folder, half=config.half)
    live = int((connector.starts.diff() > 0).sum())
    results = {
        "n_edges": connector.n_edges,
        "edges_per_output": connector.edges_per_output,
        "outputs_with_edges": live,
        "n_inputs": connector.n_inputs,
        "n_outputs": connector.n_outputs,
        "fit_tokens": len(pairs.inputs),
        "description": connector.description,
    }
    run.finish(results, model=model.provenance(), corpus=corpus.describe())
    return text_table([{key: results[key] for key in list(results)[:6]}])
