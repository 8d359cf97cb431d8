"""Evaluate a chain of dictionaries and connector: scorecard, pruning frontier, interventions, circuits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
from llm_codes.lenses.circuits.found import ReadCircuits, count_forms, read_circuits
from llm_codes.lenses.circuits.readable_rows import Readable
from llm_codes.lenses.circuits.reading import readable
from llm_codes.lenses.circuits.rows import ChainEvaluation, LogicForms
from llm_codes.lenses.circuits.untrained import made_from, untrained_evaluation
from llm_codes.lenses.connectors.files import Chain
from llm_codes.lenses.connectors.interventions import validate_edges
from llm_codes.lenses.connectors.pairs import FeaturePairs, harvest_pairs
from llm_codes.lenses.connectors.rows import EdgeValidation, Frontier, Scorecard
from llm_codes.lenses.connectors.scorecard import (
    SHARE_ROWS,
    Branch,
    causal_scorecard,
    connector_writes,
    pruning_frontier,
    replacements,
)
from llm_codes.lenses.connectors.study import (
    analytic_start,
    fit_of,
    largest_edges,
    mlp_function,
    random_support,
    refitted,
)
from llm_codes.lenses.connectors.untrained import UntrainedChain
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


def _compute_now(name: str, compute: Callable[[], Result]) -> dict[str, Any]:
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
    keep: Keep = _compute_now,
    untrained: UntrainedChain | None = None,
    **changes: Any,
) -> ChainEvaluation:
    """Everything that `connector eval` reports: scorecard with controls, frontier, edges tested, logic forms, circuits,
    claims. Controls are fitted on `train`, for as many steps as the connector's refit; every number comes from
    `held_out`.

    Args:
        options, harvest_options, changes: what is measured, and how the text is walked (defaults: the command's).
        untrained: the untrained network's own chain; none: the results that ship, if they are this chain's control.
        keep: `keep(name, compute)` hands back the JSON of a finished piece, or computes it (`Run.item`).
    """
    asked, walk = with_changes((options or EvaluationOptions(), harvest_options or HarvestOptions()), changes)
    connector = chain.connector
    work = _Work(model, chain, train, held_out, walk, seed)
    scorecard = Scorecard.from_json(keep("scorecard", work.scorecard))
    frontier = Frontier.from_json(keep("frontier", lambda: work.frontier(asked)))
    edges = EdgeValidation.from_json(keep("edge-validation", lambda: work.edges(asked)))
    read = ReadCircuits.from_json(keep("circuits", lambda: work.circuits(asked)))
    few = Readable.from_json(keep("readable", lambda: readable(connector, work.pairs)))

    def measure(fresh: Model, own: Chain) -> tuple[Scorecard, LogicForms]:
        control = _Work(fresh, own, train, held_out, walk, seed)
        share = Scorecard.from_json(keep("untrained-scorecard", control.connector_row))
        return share, LogicForms.from_json(keep("untrained-forms", lambda: control.forms(asked)))

    beside = untrained_evaluation(untrained, made_from(model, chain, train, held_out, asked, walk, seed), measure)
    return ChainEvaluation(
        scorecard,
        frontier.frontier,
        edges,
        read.logic_forms,
        read.circuits,
        connector.edges_per_output,
        work.analytic.edges_per_output,
        {side: float((rows.values > 0).float().sum(1).mean()) for side, rows in _sides(work.pairs)},
        {} if chain.transcoder else {"transcoder": "no --transcoder was given"},
        tuple(claims_of(scorecard, read.logic_forms, beside)),
        few.readable,
        beside,
    )


@dataclass
class _Work:
    """The pieces of an evaluation, each computed where it is asked for."""

    model: Model
    chain: Chain
    train: Corpus
    held_out: Corpus
    walk: HarvestOptions
    seed: int

    def __post_init__(self) -> None:
        self.branch = Branch(self.model, self.chain.first.hook, self.chain.second.hook_out)
        self.function = mlp_function(self.model, resolve_site(self.model, self.chain.first.hook))
        self.batch_size = self.walk.batch_size

    @cached_property
    def fitted(self) -> FeaturePairs:
        return harvest_pairs(self.model, self.train, self.chain.first, self.chain.second, self.walk)

    @cached_property
    def pairs(self) -> FeaturePairs:
        return harvest_pairs(self.model, self.held_out, self.chain.first, self.chain.second, self.walk)

    @cached_property
    def analytic(self) -> Connector:
        return analytic_connector(self.model, self.chain, self.fitted)

    def scorecard(self) -> Scorecard:
        first, second, connector = self.chain.first, self.chain.second, self.chain.connector
        controls = _controls(self.model, self.chain, self.fitted, self.analytic, fit_of(connector), self.seed)
        rows = replacements(self.branch, self.fitted, first, second, connector, self.analytic, self.chain.transcoder)
        hooks = {name: self.branch.hooks(connector_writes(one, first, second)) for name, one in controls.items()}
        return causal_scorecard(self.branch, self.held_out, rows, hooks, batch_size=self.batch_size, seed=self.seed)

    def connector_row(self) -> Scorecard:
        """The connector, and the rows that its share of the gap needs."""
        first, second, connector = self.chain.first, self.chain.second, self.chain.connector
        rows = replacements(self.branch, self.fitted, first, second, connector, None, None)
        needed = {row: rows[row] for row in SHARE_ROWS}
        return causal_scorecard(self.branch, self.held_out, needed, batch_size=self.batch_size, seed=self.seed)

    def forms(self, asked: EvaluationOptions) -> LogicForms:
        return count_forms(self.chain, self.pairs, asked.logic_outputs)

    def frontier(self, asked: EvaluationOptions) -> Frontier:
        first, second, connector = self.chain.first, self.chain.second, self.chain.connector
        shorter = replace(fit_of(connector), refit_steps=asked.frontier_steps)
        variants = pruned_variants(connector, self.fitted, second, asked.frontier, shorter, self.seed)
        rows = pruning_frontier(
            self.branch, self.held_out, variants, first, second, self.pairs, batch_size=self.batch_size
        )
        return Frontier(tuple(rows))

    def edges(self, asked: EvaluationOptions) -> EdgeValidation:
        first, second, connector = self.chain.first, self.chain.second, self.chain.connector
        return validate_edges(
            self.function, first, second, connector, self.pairs, n_edges=asked.edges_tested, seed=self.seed
        )

    def circuits(self, asked: EvaluationOptions) -> ReadCircuits:
        return read_circuits(self.model, self.chain, self.pairs, self.function, asked.logic_outputs, self.seed)


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


def _sides(pairs: FeaturePairs) -> list[tuple[str, FeatureRows]]:
    return [("in", pairs.inputs), ("out", pairs.outputs)]
