"""`python -m llm_codes circuit`: the page and the graph JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.circuits import CircuitConfig
from llm_codes.configs.connectors import (
    ConnectorConfirmConfig,
    ConnectorEvalConfig,
    ConnectorShowConfig,
)
from llm_codes.corpus import Corpus
from llm_codes.inputs import open_corpus, open_model_and_corpus
from llm_codes.lenses.circuits.confirm import confirm_forms, summary
from llm_codes.lenses.circuits.evaluation import evaluate_chain
from llm_codes.lenses.circuits.evaluation_page import add_scorecard, add_tests
from llm_codes.lenses.circuits.graph import graph_json
from llm_codes.lenses.circuits.page import add_circuit
from llm_codes.lenses.circuits.reading import (
    describe_feature,
    feature_number,
)
from llm_codes.lenses.circuits.study import circuit_data, keep_known_outputs
from llm_codes.lenses.connectors.files import open_chain
from llm_codes.lenses.connectors.pairs import harvest_options, harvest_pairs
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.models import load_model
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


def eval_command(config: ConnectorEvalConfig, run: Run) -> str:
    """`python -m llm_codes connector eval`."""
    chain = open_chain(config.connector, config.from_, config.to, config.transcoder, config.device)
    model, held_out = open_model_and_corpus(config)
    check_fits(chain.first, model)
    train = open_corpus(replace(config, split="train", tokens=config.fit_tokens), model)
    results = evaluate_chain(
        model,
        chain,
        train,
        held_out,
        budgets=config.frontier,
        edges_tested=config.edges_tested,
        logic_outputs=config.logic_outputs,
        **harvest_options(config),
        seed=config.seed,
    )
    page = Page(f"Connector of {model.name}", f"{chain.first.hook} to {chain.second.hook_out}")
    add_scorecard(page, results)
    add_tests(page, results)
    page.write(run, "scorecard.html")
    run.finish(results, model=model.provenance(), corpus=held_out.describe())
    return text_table([*results["scorecard"], *results["controls"]], ("row", "ce", "ce_delta", "ci", "share_of_gap"))


def show_command(config: ConnectorShowConfig, run: Run) -> str:
    """`python -m llm_codes connector show OF_30`."""
    chain = open_chain(config.connector, config.from_, config.to, device=config.device)
    output = feature_number(config.feature, chain.connector.n_outputs)
    model, corpus = open_model_and_corpus(config)
    pairs = harvest_pairs(model, corpus, chain.first, chain.second, **harvest_options(config))
    into, out_of = ContextIndex(pairs.inputs, pairs, model), ContextIndex(pairs.outputs, pairs, model)
    found = describe_feature(output, chain.connector, pairs, into, out_of)
    run.finish({"feature": found}, model=model.provenance(), corpus=corpus.describe())
    lines = [found["equation"], f"fires on {_quoted(found['fires_on'])}; density {found['density']:.2%}"]
    rows = [{**term, "fires_on": _quoted(term["fires_on"])} for term in found["terms"][:10]]
    contexts = ["..." + _marked(context) for context in found["contexts"]]
    return "\n".join([*lines, text_table(rows), *contexts])


def _quoted(tokens: Sequence[str]) -> str:
    return " ".join(repr(token) for token in tokens) or "nothing here"


def _marked(context: dict[str, Any]) -> str:
    """A context in one line, its token in brackets."""
    texts = [f"[{t}]" if i == context["at"] else t for i, t in enumerate(context["tokens"])]
    return "".join(texts).replace("\n", " ") + f"...  {context['value']:.2f}"


def read_found(folder: str) -> dict[str, Any]:
    """`results.json` of a `connector eval` run.

    Raises:
        UserError: no such run, or one that names no forms.
    """
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise UserError(f"expected the run folder of `connector eval`; got {folder} without results.json; run it first")
    found = json.loads(path.read_text(encoding="utf-8"))
    if not found.get("logic_forms", {}).get("forms"):
        raise UserError(f"expected named logic forms in {path}; got none; run `connector eval` again, on more tokens")
    return found


def unread_windows(corpus: Corpus, first: Mapping[str, Any]) -> Corpus:
    """Without the windows that the first run read, where it read this corpus: they come first in the same order.

    Raises:
        UserError: nothing is left, or the windows are of another length.
    """
    same = all(corpus.provenance.get(key) == first.get(key) for key in ("source", "split", "seed", "sha256"))
    if not same:
        return corpus
    if first["context"] != corpus.context:
        raise UserError(
            f"expected the windows of `connector eval`, {first['context']} tokens long; got {corpus.context}; "
            f"pass --context {first['context']}"
        )
    left = np.arange(int(first["n_windows"]), len(corpus))
    if not len(left):
        raise UserError(
            f"expected text that `connector eval` did not read; it read all {len(corpus)} windows; "
            "raise --tokens or name another --corpus"
        )
    return corpus.select(left)


def confirm_command(config: ConnectorConfirmConfig, run: Run) -> str:
    """`python -m llm_codes connector confirm`."""

    found = read_found(config.found)
    first = found.get("provenance", {}).get("corpus", {})
    chain = open_chain(config.connector, config.from_, config.to, device=config.device)
    model = load_model(config.model, device=config.device, dtype=config.dtype)
    wanted = replace(config, tokens=config.tokens + int(first.get("n_tokens", 0)))
    corpus = unread_windows(open_corpus(wanted, model), first)
    pairs = harvest_pairs(model, corpus, chain.first, chain.second, **harvest_options(config))
    lines = confirm_forms(found["logic_forms"]["forms"], pairs)
    results = {"summary": summary(lines), "forms": lines, "n_tokens": len(pairs.inputs)}
    results["n_documents"] = corpus.n_documents
    run.finish(results, model=model.provenance(), corpus=corpus.describe())
    return text_table(results["summary"])
