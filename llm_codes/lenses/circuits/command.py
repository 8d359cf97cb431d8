"""`python -m llm_codes circuit`: the page and the graph JSON."""

from __future__ import annotations

from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.circuits import CircuitConfig
from llm_codes.lenses.circuits.graph import graph_json
from llm_codes.lenses.circuits.page import add_circuit, circuit_data, keep_known_outputs
from llm_codes.lenses.connectors.command import open_chain
from llm_codes.lenses.connectors.study import harvest_options, harvest_pairs
from llm_codes.lenses.saes.command import open_model_and_corpus
from llm_codes.sites import resolve_site


def command(config: CircuitConfig, run: Run) -> str:
    """Write `circuit.html`, `graph.json` and `results.json`."""
    chain = open_chain(config.connector, config.from_, config.to, device=config.device)
    model, corpus = open_model_and_corpus(config)
    pairs = harvest_pairs(model, corpus, chain.first, chain.second, **harvest_options(config))
    data = circuit_data(
        model,
        chain.first,
        chain.second,
        chain.connector,
        pairs,
        n_outputs=config.outputs,
        n_contexts=config.contexts,
        prompt=config.prompt,
    )
    data = keep_known_outputs(data)
    page = Page(f"Circuit of {model.name}", f"{chain.first.hook} to {chain.second.hook_out}")
    add_circuit(page, data)
    page.write(run, "circuit.html")
    layer = resolve_site(model, chain.first.hook).layer
    run.write_json("graph.json", graph_json(data, model.name, layer))
    summary = {
        "outputs": len(data["outputs"]),
        "inputs": len(data["inputs"]),
        "edges": len(data["edges"]),
        "errors": data["errors"],
        "page": "circuit.html",
        "graph": "graph.json",
    }
    run.finish({**summary, "order": data["order"]}, model=model.provenance(), corpus=corpus.describe())
    return text_table([{key: summary[key] for key in ("outputs", "inputs", "edges", "page", "graph")}])
