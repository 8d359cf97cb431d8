"""Results of connectors: the fit, the causal scorecard, the pruning frontier, edges tested by intervention."""

from __future__ import annotations

from typing import Any

from eval.measures.connectors.connector import Connector
from eval.result_json import measured
from eval.results import Result, result
from eval.scores import Score


@result
class TrainedConnector(Result):
    """`results.json` of `connector train`; `description` is the connector's own provenance."""

    columns = ("n_edges", "edges_per_output", "outputs_with_edges", "n_inputs", "n_outputs", "fit_tokens")

    n_edges: int
    edges_per_output: float
    outputs_with_edges: int
    n_inputs: int
    n_outputs: int
    fit_tokens: int
    description: dict[str, Any]

    @classmethod
    def of(cls, connector: Connector, fit_tokens: int) -> TrainedConnector:
        """What a connector is, in numbers."""
        live = int((connector.starts.diff() > 0).sum())
        sizes = (connector.n_inputs, connector.n_outputs, fit_tokens)
        return cls(connector.n_edges, connector.edges_per_output, live, *sizes, connector.description)


@result
class ScorecardRow(Result):
    """One way of replacing an MLP branch.

    ce: nats per token; ce_delta: over the original's, with its interval over documents (`ci` in JSON).
    share_of_gap: `(CE - CE(SAE-out only)) / (CE(mean-ablated) - CE(SAE-out only))`, 0 is best; where a row has one.
    kl: KL(model || replaced), nats per token; share_of_kl: the share of the gap in it. An untrained network loses no
    cross-entropy where its MLP is ablated; its predictions change all the same.
    """

    row: str
    ce: float
    ce_delta: Score = measured(ci="ci", n="n", reason="ci_reason")
    share_of_gap: Score | None = measured(when_set=True)
    kl: Score | None = measured(default=None, when_set=True)
    share_of_kl: Score | None = measured(default=None, when_set=True)


@result
class Scorecard(Result):
    """The nine rows, the controls, and the tokens behind them."""

    table = "scorecard"
    columns = ("row", "ce", "ce_delta", "ci", "share_of_gap")

    scorecard: tuple[ScorecardRow, ...]
    controls: tuple[ScorecardRow, ...]
    n_tokens: int


@result
class FrontierRow(Result):
    """A connector pruned by one method to a budget of edges: CE over the original's, FVU of the MLP's output."""

    method: str
    budget: int
    edges_per_output: float
    ce_delta: float
    fvu: float


@result
class Frontier(Result):
    """Every method at every budget."""

    table = "frontier"

    frontier: tuple[FrontierRow, ...]


@result
class Intervention(Result):
    """The mean change of one output feature when one input feature is changed, predicted and real."""

    output: int
    input: int
    weight: float
    kind: str
    predicted: float
    actual: float
    n_tokens: int


@result
class Agreement(Result):
    """Do interventions come out as predicted? See `eval.measures.connectors.faithfulness.edge_agreement`."""

    sign_agreement: Score
    r2: Score
    correlation: Score
    sign_agreement_null: Score
    r2_null: Score


@result
class EdgeValidation(Result):
    """Edges tested in the real MLP: an input feature taken out (`ablate`) or doubled (`boost`)."""

    table = "interventions"

    n_edges: int
    interventions: tuple[Intervention, ...]
    ablate: Agreement
    boost: Agreement
