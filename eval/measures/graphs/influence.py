"""Influence in an attribution graph: which nodes and edges carry what the logits are.

Axis glossary: ``target`` nodes with inputs (``feature`` first, then ``logit``), ``source`` nodes with outputs
(``feature`` first, then the nodes without inputs: errors and token embeddings).

Rows of |edges| are normalised to 1. The influence of a source is the sum over all paths to the logits of the products
of normalised edges, from weights on the logits: ``w (A + A^2 + ...)``. [Ameisen et al. 2025, Circuit tracing, "Graph
pruning"; circuit-tracer's `graph.py`, whose numbers these are]
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.errors import UserError


@dataclass(frozen=True)
class Pruned:
    """What pruning keeps.

    sources: which sources are kept. edge_targets, edge_sources: row and column of each kept edge. influence: of every
    source, before pruning.
    """

    sources: Bool[Tensor, " source"]
    edge_targets: Int[Tensor, " edge"]
    edge_sources: Int[Tensor, " edge"]
    influence: Float[Tensor, " source"]


def normalised(edges: Float[Tensor, "target source"]) -> Float[Tensor, "target source"]:
    """|edges| with every row divided by its sum; a row of zeros stays one."""
    absolute = edges.abs()
    return absolute.div_(absolute.sum(1, keepdim=True).clamp_(min=1e-10))


def source_influence(
    shares: Float[Tensor, "target source"], weights: Float[Tensor, " logit"]
) -> Float[Tensor, " source"]:
    """How much of the logits does each source carry, over all paths?

    Args:
        shares: normalised edges; feature rows first, in the order of the feature columns, logit rows last.
        weights: of the logits (their probabilities).

    Returns:
        At least 0; for weights that sum to 1 the direct influences of all sources sum to 1.

    Raises:
        UserError: the features' edges form a circle.
    """
    n_features = len(shares) - len(weights)
    step = weights @ shares[n_features:]
    total = step.clone()
    for _ in range(n_features + 1):
        if not bool(step[:n_features].any()):
            return total
        step = step[:n_features] @ shares[:n_features]
        total += step
    raise UserError("expected edges from lower layers to higher ones; got a circle; order the features by layer")


def prune(
    edges: Float[Tensor, "target source"],
    shares: Float[Tensor, "target source"],
    weights: Float[Tensor, " logit"],
    n_tokens: int,
    *,
    node_share: float = 0.8,
    edge_share: float = 0.98,
) -> Pruned:
    """Which nodes and edges carry `node_share` and `edge_share` of the influence?

    Nodes in falling order of influence until their sum reaches the share; then edges among those that stay, the same
    way; then, until nothing changes, features without inputs and features and errors without outputs go. Token
    embeddings (the last `n_tokens` sources) and logits stay. shares: `normalised(edges)`.
    """
    n_logits, n_sources = len(weights), edges.shape[1]
    n_features = len(edges) - n_logits
    influence = source_influence(shares, weights)
    kept = influence >= _threshold(influence, node_share)
    kept[-n_tokens:] = True
    columns = kept.nonzero().flatten()
    rows = torch.cat([columns[columns < n_features], torch.arange(n_features, len(edges), device=edges.device)])
    left = normalised(edges[rows[:, None], columns])  # what is left is small: nothing below has the size of the graph
    n_left = len(rows) - n_logits
    scores = left * torch.cat([source_influence(left, weights)[:n_left], weights])[:, None]
    edge_kept = (scores >= _threshold(scores.flatten(), edge_share)) & (left > 0)
    sources, edge_kept = _without_loose_ends(edge_kept, n_left, n_tokens)
    kept = torch.zeros(n_sources, dtype=torch.bool, device=edges.device)
    kept[columns[sources]] = True
    target, source = edge_kept.nonzero(as_tuple=True)
    return Pruned(kept, rows[target], columns[source], influence)


def _without_loose_ends(edges: Tensor, n_features: int, n_tokens: int) -> tuple[Tensor, Tensor]:
    """Features without inputs or outputs, and errors without outputs, taken out until none is left."""
    kept = torch.ones(edges.shape[1], dtype=torch.bool, device=edges.device)
    while True:
        before = kept.clone()
        kept[:-n_tokens] &= edges[:, :-n_tokens].any(0)
        kept[:n_features] &= edges[:n_features].any(1)
        edges[:n_features] &= kept[:n_features, None]
        edges &= kept
        if bool((kept == before).all()):
            return kept, edges


def _threshold(scores: Tensor, share: float) -> Tensor:
    """The least score among the largest ones that sum to `share` of all."""
    ordered = scores.sort(descending=True).values
    total = ordered.cumsum(0, dtype=torch.float64)
    place = int(torch.searchsorted(total / total[-1].clamp(min=1e-30), share))
    return ordered[min(place, len(ordered) - 1)]


def replacement_and_completeness(
    shares: Float[Tensor, "target source"],
    influence: Float[Tensor, " source"],
    weights: Float[Tensor, " logit"],
    n_errors: int,
    n_tokens: int,
) -> tuple[float, float]:
    """How much of the graph is features rather than errors?

    Replacement: influence of the token embeddings over that of embeddings and errors, which counts paths that run
    through features all the way. Completeness: share of each target's inputs that are not errors, weighted by the
    target's influence. Both in [0, 1], higher is better; 1 without errors. shares: `normalised(edges)`; influence: of
    the sources. [Ameisen et al. 2025]
    """
    n_features = len(shares) - len(weights)
    errors = slice(n_features, n_features + n_errors)
    of_tokens, of_errors = influence[-n_tokens:].sum(), influence[errors].sum()
    explained = 1 - shares[:, errors].sum(1)
    output = torch.cat([influence[:n_features], weights])
    completeness = (explained * output).sum() / output.sum()
    return float(of_tokens / (of_tokens + of_errors)), float(completeness)
