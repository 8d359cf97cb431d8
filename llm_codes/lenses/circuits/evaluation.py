"""Evaluate a chain of dictionaries and connector: scorecard, pruning frontier, interventions, circuits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from eval.measures.connectors.connector import Connector
from eval.measures.connectors.fit_options import ConnectorFit
from eval.measures.dictionaries.feature_rows import FeatureRows
from eval.results import Result
from llm_codes.configs.connectors import EvaluationOptions
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.circuits.claims import claims_of
from llm_codes.lenses.circuits.found import ReadCircuits, read_circuits
from llm_codes.lenses.circuits.rows import ChainEvaluation
from llm_codes.lenses.connectors.files import Chain
from llm_codes.lenses.connectors.interventions import validate_edges
from llm_codes.lenses.connectors.pairs import FeaturePairs, harvest_pairs
from llm_codes.lenses.connectors.rows import EdgeValidation, Frontier, Scorecard
from llm_codes.lenses.connectors.scorecard import (
    Branch,
    causal_scorecard,
    connector_writes,
    pruning_frontier,
    replacements,
)
from llm_codes.lenses.connectors.study import analytic_start, largest_edges, mlp_function, random_support, refitted
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.study import with_changes
from llm_codes.models import Model
from llm_codes.sites import resolve_site


def pruned_variants(
    connector: Connector,
    pairs: FeaturePairs,
    second: SAEFolder,
    budgets: Sequence[int],
    options: ConnectorFit,
    seed: int = 0,
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
        out["refit"][budget] = refitted(pairs, dense != 0, options, second.vectors, (dense, kept.bias), seed=seed)
    return out


Keep = Callable[[str, Callable[[], Result]], dict[str, Any]]


def compute_now(name: str, compute: Callable[[], Result]) -> dict[str, Any]:
    """Where nothing is kept between runs: compute, as JSON."""
    return compute().to_json()


def evaluate_chain(
    model: Model,
    chain: Chain,
    train: Corpus,
    held_out: Corpus,
    options: EvaluationOptions | None = None,
    *,
    harvest_options: HarvestOptions | None = None,
    seed: int = 0,
    keep: Keep = compute_now,
    **changes: Any,
) -> ChainEvaluation:
    """Everything that `connector eval` reports: scorecard with controls, frontier, edges tested, logic forms, circuits,
    claims. Controls are fitted on `train`, for as many steps as the connector's refit; every number comes from
    `held_out`.

    Args:
        options, harvest_options, changes: what is measured, and how the text is walked (defaults: the command's).
        keep: `keep(name, compute)` hands back the JSON of a finished piece, or computes it (`Run.item`).
    """
    asked, walk = with_changes((options or EvaluationOptions(), harvest_options or HarvestOptions()), changes)
    first, second, connector = chain.first, chain.second, chain.connector
    fitted, pairs = (harvest_pairs(model, corpus, first, second, walk) for corpus in (train, held_out))
    branch = Branch(model, first.hook, second.hook_out)
    analytic = analytic_connector(model, chain, fitted)

    def scored() -> Scorecard:
        controls = _controls(model, chain, fitted, analytic, fit_of(connector), seed)
        rows = replacements(branch, fitted, first, second, connector, analytic, chain.transcoder)
        hooks = {name: branch.hooks(connector_writes(one, first, second)) for name, one in controls.items()}
        return causal_scorecard(branch, held_out, rows, hooks, batch_size=walk.batch_size, seed=seed)

    def pruned() -> Frontier:
        shorter = replace(fit_of(connector), refit_steps=asked.frontier_steps)
        variants = pruned_variants(connector, fitted, second, asked.frontier, shorter, seed)
        rows = pruning_frontier(branch, held_out, variants, first, second, pairs, batch_size=walk.batch_size)
        return Frontier(tuple(rows))

    function = mlp_function(model, resolve_site(model, first.hook))

    def tested() -> EdgeValidation:
        return validate_edges(function, first, second, connector, pairs, n_edges=asked.edges_tested, seed=seed)

    scorecard = Scorecard.from_json(keep("scorecard", scored))
    frontier = Frontier.from_json(keep("frontier", pruned)).frontier
    edges = EdgeValidation.from_json(keep("edge-validation", tested))
    read = ReadCircuits.from_json(
        keep("circuits", lambda: read_circuits(model, chain, pairs, function, asked.logic_outputs, seed))
    )
    return ChainEvaluation(
        scorecard,
        frontier,
        edges,
        read.logic_forms,
        read.circuits,
        connector.edges_per_output,
        analytic.edges_per_output,
        {side: float((rows.values > 0).float().sum(1).mean()) for side, rows in _sides(pairs)},
        {} if chain.transcoder else {"transcoder": "no --transcoder was given"},
        tuple(claims_of(scorecard, read.logic_forms)),
    )


def analytic_connector(model: Model, chain: Chain, fitted: FeaturePairs) -> Connector:
    """The analytic connector with as many edges as the trained one."""
    weight, bias = analytic_start(model, fitted, chain.first, chain.second)
    per_output = max(1, round(chain.connector.edges_per_output))
    return largest_edges(weight, bias, fitted.inputs.root_mean_square(), per_output, chain.connector.activation)


def _controls(
    model: Model, chain: Chain, fitted: FeaturePairs, analytic: Connector, options: ConnectorFit, seed: int
) -> dict[str, Connector]:
    """The analytic connector with all its edges, its strongest edges with fitted weights, random edges with fitted
    weights."""
    first, second, connector = chain.first, chain.second, chain.connector
    weight, bias = analytic_start(model, fitted, first, second)
    metric = second.vectors if connector.description.get("loss", "decoded") == "decoded" else None
    chance = random_support(fitted, connector, seed)
    return {
        "analytic connector, all edges": Connector.from_dense(weight, bias, connector.activation),
        "analytic edges, refitted": refitted(fitted, analytic.dense() != 0, options, metric, seed=seed),
        "random edges, refitted": refitted(fitted, chance, options, metric, seed=seed),
    }


def fit_of(connector: Connector) -> ConnectorFit:
    """How the connector was fitted, so that controls are fitted no worse; the usual way where that is not known."""
    words = {"activation": connector.activation, **connector.description.get("fit", {})}
    words["fit_batch_size"] = words.pop("batch_size", words.get("fit_batch_size", ConnectorFit().fit_batch_size))
    return ConnectorFit(**{name: value for name, value in words.items() if name in ConnectorFit.__dataclass_fields__})


def _sides(pairs: FeaturePairs) -> list[tuple[str, FeatureRows]]:
    return [("in", pairs.inputs), ("out", pairs.outputs)]
