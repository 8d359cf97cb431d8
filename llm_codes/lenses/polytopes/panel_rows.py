"""Results of the panels beside the statements: flow of regions, neurons with their clusters, codes set by hand.

Axis glossary: ``item`` sampled tokens, ``cluster``, ``unit`` hidden units.
"""

from __future__ import annotations

from eval.measures.codes.region_flow import Flow
from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score


@result
class FlowRow(Result):
    """How clusters of one MLP's codes go over into those of the next compared one.

    network: `trained` or `untrained`.
    """

    network: str
    first: int
    second: int
    flow: Flow = noted(inline=True)


@result
class FlowStage(Result):
    """An item of a run: the flow through one network."""

    flow: tuple[FlowRow, ...]


@result
class StrongToken(Result):
    """One of a neuron's strongest tokens, with what stands before it, its activation and its cluster of codes."""

    before: str
    token: str
    activation: float
    cluster: int


@result
class NeuronRow(Result):
    """A hidden unit whose strongest tokens lie in several clusters of codes; tokens stand cluster by cluster."""

    layer: int
    unit: int
    n_clusters: int
    effective_clusters: float
    tokens: tuple[StrongToken, ...]


@result
class NeuronStage(Result):
    """An item of a run: the neurons shown."""

    neurons: tuple[NeuronRow, ...]


@result
class InterventionRow(Result):
    """What follows at tokens outside a cluster when its code is set by hand, and when as many units are at random.

    network: trained or untrained, each with clusters of its own. values: what a unit set by hand passes on
    (`eval.measures.geometry.forced_codes.Values`). n_bits: units that are set; flipped: how many of them that moved,
    mean over tokens. towards: gain in nats of the log-probability of what follows the cluster's own tokens, mean over
    them; beyond_random: minus that of the control. token_changed: share of tokens at which the most likely next token
    changes.
    """

    network: str
    cluster: int
    values: str
    n_bits: int
    n_items: int
    flipped: float
    towards: Score
    towards_random: Score
    beyond_random: Score
    token_changed: float
    token_changed_random: float


@result
class InterventionStage(Result):
    """An item of a run: the interventions."""

    interventions: tuple[InterventionRow, ...]
