"""`python -m llm_codes connector train`: opens inputs, fits, writes the connector into the run folder.

Between dictionaries of the untrained model it is fitted on that model, which they name.
"""

from __future__ import annotations

from dataclasses import replace

from eval.progress import say_cut
from eval.runs import Run
from llm_codes.configs.connectors import ConnectorTrainConfig
from llm_codes.inputs import open_inputs
from llm_codes.lenses.connectors.files import save_connector
from llm_codes.lenses.connectors.pairs import harvest_pairs
from llm_codes.lenses.connectors.rows import TrainedConnector
from llm_codes.lenses.connectors.study import train_connector
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.sanity import model_of


def train_command(config: ConnectorTrainConfig, run: Run) -> str:
    """`python -m llm_codes connector train`."""
    first, second = load_sae(config.from_, device=config.device), load_sae(config.to, device=config.device)
    asked = config.connector.fit.edges_per_output
    say_cut("--edges-per-output", asked or 0, first.n_features, "features of the dictionary before")
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    inputs = replace(inputs, model=model_of(inputs.model, first))
    corpus = inputs.view(config.windows)
    pairs = harvest_pairs(inputs.model, corpus, first, second, config.inputs)
    connector = train_connector(inputs.model, pairs, first, second, config.connector, seed=config.seed)
    save_connector(connector, run.folder, half=config.half)
    found = TrainedConnector.of(connector, len(pairs.inputs))
    run.finish(found.to_json(), model=inputs.model.provenance(), corpus=corpus.describe())
    return found.text()
