"""Influence, pruning and scores against a graph small enough to check by hand, and against the closed form."""

from __future__ import annotations

import pytest
import torch

from eval.errors import UserError
from eval.measures.graphs.influence import (
    _without_loose_ends,
    normalised,
    prune,
    replacement_and_completeness,
    source_influence,
)

# features 0 and 1 (1 above 0), error, token; targets: the features, one logit
EDGES = torch.tensor([[0.0, 0, 1, 3], [-2, 0, 1, 1], [0, 3, 0, -1]])
WEIGHT = torch.tensor([1.0])


def test_influence_by_hand() -> None:
    found = source_influence(normalised(EDGES), WEIGHT)
    # logit: 3/4 from feature 1, 1/4 from the token; feature 1: 1/2 from 0, 1/4 error, 1/4 token; feature 0: 1/4, 3/4
    expected = [0.375, 0.75, 0.75 / 4 + 0.375 / 4, 0.25 + 0.75 / 4 + 0.375 * 0.75]
    assert found.tolist() == pytest.approx(expected)


def test_influence_is_the_series_in_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    n, others, logits = 30, 12, 3
    edges = torch.randn(n + logits, n + others, generator=generator, dtype=torch.float64)
    edges[:n, :n] = edges[:n, :n].tril(-1)
    weights = torch.tensor([0.5, 0.2, 0.1], dtype=torch.float64)
    shares = normalised(edges)
    square = torch.zeros(n + others + logits, n + others + logits, dtype=torch.float64)
    square[:n, : n + others] = shares[:n]
    square[-logits:, : n + others] = shares[n:]
    whole = torch.linalg.inv(torch.eye(len(square)).double() - square) - torch.eye(len(square))
    start = torch.zeros(len(square), dtype=torch.float64)
    start[-logits:] = weights
    assert torch.allclose(source_influence(shares, weights), (start @ whole)[: n + others])


def test_scores_by_hand() -> None:
    shares = normalised(EDGES)
    influence = source_influence(shares, WEIGHT)
    replacement, completeness = replacement_and_completeness(shares, influence, WEIGHT, 1, 1)
    error, token = influence[2:].tolist()
    assert replacement == pytest.approx(token / (token + error))
    # of each target's inputs 3/4, 3/4 and all are no errors
    assert completeness == pytest.approx((0.375 * 0.75 + 0.75 * 0.75 + 1) / (0.375 + 0.75 + 1))


def test_without_errors_both_scores_are_one() -> None:
    edges = EDGES.clone()
    edges[:, 2] = 0
    shares = normalised(edges)
    assert replacement_and_completeness(shares, source_influence(shares, WEIGHT), WEIGHT, 1, 1) == (1.0, 1.0)


def test_everything_is_kept_at_shares_of_one_and_loose_ends_go() -> None:
    kept = prune(EDGES, normalised(EDGES), WEIGHT, 1, node_share=1.0, edge_share=1.0)
    assert kept.sources.all() and len(kept.edge_targets) == int((EDGES != 0).sum())
    edges = EDGES.clone()
    edges[2, 1] = 0  # nothing reads feature 1 any more, and so nothing feature 0 or the error
    loose = prune(edges, normalised(edges), WEIGHT, 1, node_share=1.0, edge_share=1.0)
    assert loose.sources.tolist() == [False, False, False, True]
    assert (loose.edge_targets.tolist(), loose.edge_sources.tolist()) == ([2], [3])


def test_fewer_nodes_at_a_smaller_share() -> None:
    kept = prune(EDGES, normalised(EDGES), WEIGHT, 1, node_share=0.5, edge_share=1.0)
    assert kept.sources.tolist() == [False, True, False, True]


def test_a_circle_is_refused() -> None:
    edges = torch.tensor([[0.0, 1, 1], [1, 0, 1], [1, 1, 1]])
    with pytest.raises(UserError, match="expected edges from lower layers to higher ones; got a circle"):
        source_influence(normalised(edges), torch.tensor([1.0]))


def test_a_chain_without_an_end_goes_from_its_end_to_its_start() -> None:
    """Feature 2 sends nothing on, feature 1 sends to it alone, feature 0 to that: all three go, one after another."""
    edges = torch.zeros(4, 5, dtype=torch.bool)  # three features and a logit; three features, an error, a token
    edges[0, 4] = edges[1, 0] = edges[2, 1] = True
    edges[3, 4] = edges[3, 3] = True
    kept, left = _without_loose_ends(edges, 3, 1)
    assert kept.tolist() == [False, False, False, True, True]
    assert left.nonzero().tolist() == [[3, 3], [3, 4]]
