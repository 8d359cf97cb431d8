"""What a supernode is."""

from __future__ import annotations

from eval.results import Result, result
from llm_codes.lenses.saes.rows import Context


@result
class Supernode(Result):
    """Nodes of a graph under one name. nodes: their ids (`export.node_id`). stability: best overlap with a group of a
    resampled text, mean, in (0, 1]; none for groups that were given. contexts: where they fire together most."""

    name: str
    nodes: tuple[str, ...]
    influence: float
    stability: float | None
    contexts: tuple[Context, ...]


@result
class SupernodeEdge(Result):
    """The sum of kept edges from the nodes of one supernode to those of another, or to a logit."""

    source: str
    target: str
    effect: float


@result
class GraphSupernodes(Result):
    """The supernodes of one graph, strongest first. suggested: by clustering, else they were given. stability: mean
    over nodes; null: the same with co-activations of other nodes. documents: of the text that was read."""

    graph: str
    suggested: bool
    supernodes: tuple[Supernode, ...]
    edges: tuple[SupernodeEdge, ...]
    stability: float | None
    null: float | None
    documents: int
