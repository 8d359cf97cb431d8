"""Evaluate a chain of dictionaries and connector: scorecard, pruning frontier, interventions, circuits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from eval.measures.connectors.connector import Connector, ConnectorFit, FeatureRows
from llm_codes.corpus import Corpus
from llm_codes.lenses.circuits.claims import claims_of
from llm_codes.lenses.circuits.forms import form_json, named_forms_json
from llm_codes.lenses.circuits.reading import (
    describe_feature,
    interesting_outputs,
    named_form,
    read_logic,
)
from llm_codes.lenses.connectors.files import Chain
from llm_codes.lenses.connectors.interventions import validate_edges
from llm_codes.lenses.connectors.pairs import FeaturePairs, harvest_pairs
from llm_codes.lenses.connectors.scorecard import (
    Branch,
    causal_scorecard,
    connector_writes,
    pruning_frontier,
    replacements,
)
from llm_codes.lenses.connectors.study import (
    analytic_start,
    largest_edges,
    mlp_function,
    random_support,
    refitted,
)
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.models import Model
from llm_codes.sites import resolve_site


def pruned_variants(
    connector: Connector, pairs: FeaturePairs, second: SAEFolder, budgets: Sequence[int], options: ConnectorFit
) -> dict[str, dict[int, Connector]]:
    """Fewer edges by magnitude, by attribution, and by attribution with the kept weights fitted again."""
    weights, scale = connector.dense(), pairs.inputs.root_mean_square()
    ones = torch.ones_like(scale)
    out: dict[str, dict[int, Connector]] = {"magnitude": {}, "attribution": {}, "refit": {}}
    for budget in budgets:
        out["magnitude"][budget] = largest_edges(weights, connector.bias, ones, budget, connector.activation)
        kept = largest_edges(weights, connector.bias, scale, budget, connector.activation)
        out["attribution"][budget] = kept
        dense = kept.dense()
        out["refit"][budget] = refitted(pairs, dense != 0, options, second.vectors, (dense, kept.bias))
    return out


def evaluate_chain(
    model: Model,
    chain: Chain,
    train: Corpus,
    held_out: Corpus,
    *,
    budgets: Sequence[int] = (1, 4, 16),
    edges_tested: int = 150,
    logic_outputs: int = 100,
    fit_steps: int = 200,
    batch_size: int = 16,
    exclude_positions: int = 1,
    max_memory_gb: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that `connector eval` reports: `scorecard`, `controls`, `frontier`, `edge_validation`, `logic_forms`,
    `circuits`, `claims`. Controls are fitted on `train`, for as many steps as the connector's refit; every number comes
    from `held_out`."""
    first, second, connector = chain.first, chain.second, chain.connector
    harvested: dict[str, Any] = {"batch_size": batch_size, "exclude_positions": exclude_positions}
    fitted, pairs = (
        harvest_pairs(model, corpus, first, second, max_memory_gb=max_memory_gb, **harvested)
        for corpus in (train, held_out)
    )
    branch = Branch(model, first.hook, second.hook_out)
    analytic, controls = _controls(model, chain, fitted, fit_of(connector, seed))
    rows = replacements(branch, fitted, first, second, connector, analytic, chain.transcoder)
    hooks = {name: branch.hooks(connector_writes(one, first, second)) for name, one in controls.items()}
    out = causal_scorecard(branch, held_out, rows, hooks, batch_size=batch_size, seed=seed)
    shorter = replace(fit_of(connector, seed), refit_steps=fit_steps)
    variants = pruned_variants(connector, fitted, second, budgets, shorter)
    out["frontier"] = pruning_frontier(branch, held_out, variants, first, second, pairs, batch_size=batch_size)
    function = mlp_function(model, resolve_site(model, first.hook))
    out["edge_validation"] = validate_edges(function, first, second, connector, pairs, n_edges=edges_tested, seed=seed)
    out |= _read_circuits(model, chain, pairs, function, logic_outputs, seed)
    out |= {"edges_per_output": connector.edges_per_output, "edges_per_output_analytic": analytic.edges_per_output}
    out["l0"] = {side: float((rows_.values > 0).float().sum(1).mean()) for side, rows_ in _sides(pairs)}
    out["missing_rows"] = {} if chain.transcoder else {"transcoder": "no --transcoder was given"}
    out["claims"] = [claim.as_json() for claim in claims_of(out)]
    return out


def _controls(
    model: Model, chain: Chain, fitted: FeaturePairs, options: ConnectorFit
) -> tuple[Connector, dict[str, Connector]]:
    """The analytic connector with as many edges as the trained one, and the controls: all its edges, its edges with
    fitted weights, random edges with fitted weights."""
    first, second, connector = chain.first, chain.second, chain.connector
    weight, bias = analytic_start(model, fitted, first, second)
    scale, per_output = fitted.inputs.root_mean_square(), max(1, round(connector.edges_per_output))
    analytic = largest_edges(weight, bias, scale, per_output, connector.activation)
    metric = second.vectors if connector.description.get("loss", "decoded") == "decoded" else None
    chance = random_support(fitted, connector, options.seed)
    return analytic, {
        "analytic connector, all edges": Connector.from_dense(weight, bias, connector.activation),
        "analytic edges, refitted": refitted(fitted, analytic.dense() != 0, options, metric),
        "random edges, refitted": refitted(fitted, chance, options, metric),
    }


def fit_of(connector: Connector, seed: int) -> ConnectorFit:
    """How the connector was fitted, so that controls are fitted no worse; the usual way where that is not known."""
    return ConnectorFit(**{"activation": connector.activation, **connector.description.get("fit", {}), "seed": seed})


def _sides(pairs: FeaturePairs) -> list[tuple[str, FeatureRows]]:
    return [("in", pairs.inputs), ("out", pairs.outputs)]


def _read_circuits(
    model: Model, chain: Chain, pairs: FeaturePairs, function: Any, n_outputs: int, seed: int
) -> dict[str, Any]:
    """Logic forms of the best explained output features, and the circuits with equation, contexts, interventions."""
    outputs = interesting_outputs(chain.connector, pairs, n_outputs)
    forms = read_logic(chain.connector, pairs, outputs)
    named = {output: named_form(found) for output, found in forms.items()}
    into, out_of = ContextIndex(pairs.inputs, pairs, model), ContextIndex(pairs.outputs, pairs, model)
    kinds = ("or", "and-not", "and", "k-of-n")
    by_kind = {kind: [o for o, form in named.items() if form is not None and form.kind == kind] for kind in kinds}
    shown = list(dict.fromkeys([*(o for found in by_kind.values() for o in found[:3]), *outputs]))[:8]
    circuits = []
    for output in shown:
        circuit = describe_feature(output, chain.connector, pairs, into, out_of)
        circuit["terms"] = circuit["terms"][:8]
        form = named.get(output)
        circuit["logic"] = None if form is None else form_json(form, into)
        circuit["logic_reason"] = (
            None if form else "no form survived the correction, or its critical cells were not seen"
        )
        sources = form.parents if form else [term["input"] for term in circuit["terms"][:3]]
        weights = dict(chain.connector.edges(output))
        edges = [(output, source, weights[source]) for source in sources]
        tested = validate_edges(function, chain.first, chain.second, chain.connector, pairs, edges, seed=seed)
        circuit["interventions"] = tested["interventions"]
        circuits.append(circuit)
    counts = {kind: sum(f is not None and f.kind == kind for f in named.values()) for kind in ("single", *kinds)}
    tested_forms = sum(map(len, forms.values()))
    logic = {"outputs_tested": len(forms), "forms_tested": tested_forms, "named": counts}
    logic["forms"] = named_forms_json(named, pairs, into)
    return {"logic_forms": logic, "circuits": circuits}
