"""`python -m llm_codes circuit` and `connector eval|show|confirm`: open inputs, run the study, write the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.progress import say_cut
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.circuits import CircuitConfig
from llm_codes.configs.connectors import (
    ChainOptions,
    ConnectorConfirmConfig,
    ConnectorEvalConfig,
    ConnectorShowConfig,
)
from llm_codes.corpus import Corpus
from llm_codes.inputs import open_inputs
from llm_codes.lenses.circuits.confirm import confirm_forms, summary
from llm_codes.lenses.circuits.evaluation import evaluate_chain
from llm_codes.lenses.circuits.evaluation_page import add_scorecard, add_tests
from llm_codes.lenses.circuits.graph import graph_json
from llm_codes.lenses.circuits.page import add_circuit
from llm_codes.lenses.circuits.reading import describe_feature, feature_number
from llm_codes.lenses.circuits.rows import CircuitPage, CircuitSummary, Confirmation, NamedForm, ShownFeature
from llm_codes.lenses.circuits.study import circuit_data
from llm_codes.lenses.connectors.files import Chain, chain_hashes, open_chain
from llm_codes.lenses.connectors.pairs import harvest_pairs
from llm_codes.lenses.connectors.untrained import open_untrained_chain
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.lenses.saes.rows import Context
from llm_codes.models import Model
from llm_codes.sites import resolve_site

CLAIM = (
    "Licensed: a description of the connector, none of the model. Necessity, sufficiency and distance from random "
    "edges and an untrained network are not measured on this page; `connector eval` measures them for the same chain "
    "and says what they license."
)


def _chain(options: ChainOptions, device: str, transcoder: str = "") -> Chain:
    return open_chain(options.connector, options.from_, options.to, transcoder, device)


def _declare(run: Run, model: Model, chain: Chain, *corpora: Corpus, **more: str) -> None:
    """What the results are made from, by content: model, dictionaries, connector, windows."""
    texts = {f"corpus_{i}": str(corpus.describe()["sha256_of_tokens"]) for i, corpus in enumerate(corpora)}
    run.inputs(model=model.weights_sha256, **chain_hashes(chain), **texts, **more)


def command(config: CircuitConfig, run: Run) -> str:
    """Write `circuit.html`, `graph.json` and `results.json`; a rerun reads the circuit back."""
    chain = _chain(config.chain, config.device)
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    corpus = inputs.view(config.windows)
    shown = config.circuit
    say_cut("--outputs", shown.outputs, chain.second.n_features, "features of the dictionary after")

    def found() -> CircuitPage:
        pairs = harvest_pairs(inputs.model, corpus, chain.first, chain.second, config.inputs)
        return circuit_data(
            inputs.model,
            chain.first,
            chain.second,
            chain.connector,
            pairs,
            n_outputs=shown.outputs,
            n_contexts=shown.contexts,
            prompt=shown.prompt,
        )

    _declare(run, inputs.model, chain, corpus)
    data = CircuitPage.from_json(run.item("circuit", lambda: found().to_json()))
    page = Page(f"Circuit of {inputs.model.name}", f"{chain.first.hook} to {chain.second.hook_out}")
    page.section("What was read", "inputs").text(inputs.describe())
    add_circuit(page, data)
    page.section("What this circuit may claim", "circuit-levels").text(CLAIM)
    page.write(run, "circuit.html")
    layer = resolve_site(inputs.model, chain.first.hook).layer
    run.write_json("graph.json", graph_json(data, inputs.model.name, layer))
    sizes = (len(data.outputs), len(data.inputs), len(data.edges))
    results = CircuitSummary(*sizes, data.errors, "circuit.html", "graph.json", data.order)
    run.finish(results.to_json(), model=inputs.model.provenance(), corpus=corpus.describe())
    return results.text()


def eval_command(config: ConnectorEvalConfig, run: Run) -> str:
    """`python -m llm_codes connector eval`; scorecard, frontier, edges and circuits are items: a rerun continues."""
    chain = _chain(config.chain, config.device, config.transcoder)
    asked = config.evaluation
    say_cut("--frontier", max(asked.frontier, default=0), chain.first.n_features, "features of the dictionary before")
    say_cut("--edges-tested", asked.edges_tested, chain.connector.n_edges, "edges of the connector")
    say_cut("--logic-outputs", asked.logic_outputs, chain.second.n_features, "features of the dictionary after")
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    held_out = inputs.view(config.windows)
    check_fits(chain.first, inputs.model)
    train = inputs.of_split("train").windows(config.windows.context, n_tokens=config.evaluation.fit_tokens)
    control = open_untrained_chain(inputs.model, chain, *config.untrained) if config.untrained else None
    _declare(run, inputs.model, chain, held_out, train, **({} if control is None else {"untrained": control.sha256}))
    results = evaluate_chain(
        inputs.model,
        chain,
        train,
        held_out,
        asked,
        harvest_options=config.inputs,
        seed=config.seed,
        keep=lambda name, compute: run.item(name, lambda: compute().to_json(), of=(evaluate_chain.__module__,)),
        untrained=control,
    )
    page = Page(f"Connector of {inputs.model.name}", f"{chain.first.hook} to {chain.second.hook_out}")
    page.section("What was read", "inputs").text(inputs.describe())
    add_scorecard(page, results.scorecard, results.untrained)
    add_tests(page, results)
    page.write(run, "scorecard.html")
    run.finish(results.to_json(), model=inputs.model.provenance(), corpus=held_out.describe())
    rows = [row.to_json() for row in (*results.scorecard.scorecard, *results.scorecard.controls)]
    return text_table(rows, ("row", "ce", "ce_delta", "ci", "share_of_gap", "kl", "share_of_kl"))


def show_command(config: ConnectorShowConfig, run: Run) -> str:
    """`python -m llm_codes connector show OF_30`."""
    chain = _chain(config.chain, config.device)
    output = feature_number(config.feature, chain.connector.n_outputs)
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    corpus = inputs.view(config.windows)
    pairs = harvest_pairs(inputs.model, corpus, chain.first, chain.second, config.inputs)
    into, out_of = (ContextIndex(side, pairs, inputs.model) for side in (pairs.inputs, pairs.outputs))
    found = describe_feature(output, chain.connector, pairs, into, out_of)
    run.finish(ShownFeature(found).to_json(), model=inputs.model.provenance(), corpus=corpus.describe())
    carried = "undefined: it never varies" if found.carried is None else f"{found.carried:.0%}"
    lines = [
        found.equation,
        f"variance that the terms written out carry: {carried}",
        f"fires on {_quoted(found.fires_on)}; density {found.density:.2%}",
    ]
    rows = [{**term.to_json(), "fires_on": _quoted(term.fires_on or ())} for term in found.terms[:10]]
    contexts = ["..." + _marked(context) for context in found.contexts]
    return "\n".join([*lines, text_table(rows), *contexts])


def _quoted(tokens: Sequence[str]) -> str:
    return " ".join(repr(token) for token in tokens) or "nothing here"


def _marked(context: Context) -> str:
    """A context in one line, its token in brackets."""
    texts = [f"[{t}]" if i == context.at else t for i, t in enumerate(context.tokens)]
    return "".join(texts).replace("\n", " ") + f"...  {context.value:.2f}"


def read_found(folder: str) -> tuple[list[NamedForm], Mapping[str, Any]]:
    """The forms that a `connector eval` run named, and what it says of the corpus that it read.

    Raises:
        UserError: no such run, or one that names no forms.
    """
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise UserError(f"expected the run folder of `connector eval`; got {folder} without results.json; run it first")
    found = json.loads(path.read_text(encoding="utf-8"))
    forms = (found.get("logic_forms") or {}).get("forms")
    if not forms:
        raise UserError(f"expected named logic forms in {path}; got none; run `connector eval` again, on more tokens")
    return [NamedForm.from_json(form) for form in forms], found.get("provenance", {}).get("corpus", {})


def unread_windows(corpus: Corpus, first: Mapping[str, Any]) -> Corpus:
    """Without the windows that the first run read, where it read this corpus: they come first in the same order.

    Raises:
        UserError: nothing is left, or the windows are of another length.
    """
    same = all(corpus.provenance.get(key) == first.get(key) for key in ("split", "seed", "sha256"))
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
    forms, first = read_found(config.found)
    chain = _chain(config.chain, config.device)
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    wanted = config.windows.tokens + int(first.get("n_tokens", 0))
    corpus = unread_windows(inputs.windows(config.windows.context, n_tokens=wanted), first)
    pairs = harvest_pairs(inputs.model, corpus, chain.first, chain.second, config.inputs)
    lines = confirm_forms(forms, pairs)
    results = Confirmation(tuple(summary(lines)), tuple(lines), len(pairs.inputs), corpus.n_documents)
    run.finish(results.to_json(), model=inputs.model.provenance(), corpus=corpus.describe())
    return results.text()
