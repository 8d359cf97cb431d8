"""Planted groups come back, and only co-activation that the text repeats makes them stable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import UserError
from eval.measures.graphs.supernodes import Nodes, grouped, stability


def planted(noise: float = 0.1, seed: int = 0) -> Nodes:
    """Three groups of four nodes: each group writes one direction and fires on tokens of its own."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(3), 4)
    fires = generator.random((600, 3)) < 0.1
    activity = fires[:, group] * generator.uniform(0.5, 1, (600, 12))
    directions = np.eye(8)[group] + noise * generator.normal(size=(12, 8))
    return Nodes(directions, activity, np.repeat(np.arange(30), 20), 3 * group + np.tile([0, 0, 1, 1], 3))


def test_planted_groups_are_found_and_stable() -> None:
    nodes = planted()
    labels = grouped(nodes)
    assert labels.tolist() == np.repeat(np.arange(3), 4).tolist()
    found = stability(nodes, labels, resamples=10)
    assert found.of_group == {0: 1.0, 1: 1.0, 2: 1.0} and found.mean == 1.0


def test_without_anything_in_common_every_node_stands_alone() -> None:
    generator = np.random.default_rng(1)
    activity = (generator.random((400, 6)) < 0.05).astype(float)
    nodes = Nodes(np.eye(6), activity, np.repeat(np.arange(20), 20), 10 * np.arange(6))
    labels = grouped(nodes)
    assert labels.tolist() == list(range(6))
    found = stability(nodes, labels)
    assert (found.of_group, found.mean, found.null) == ({}, None, None)


def test_groups_that_only_chance_holds_together_come_and_go() -> None:
    """Nodes that fire once each, in a few documents, together by chance: another draw of documents parts them."""
    generator = np.random.default_rng(2)
    activity = np.zeros((100, 10))
    activity[generator.integers(0, 100, 10), np.arange(10)] = 1
    activity[:2] += (generator.random((2, 10)) < 0.5) * 0.8
    nodes = Nodes(np.ones((10, 1)) * np.eye(10), activity, np.repeat(np.arange(50), 2), np.zeros(10, dtype=int))
    chance = stability(nodes, grouped(nodes), resamples=20)
    truth = planted()
    stable = stability(truth, grouped(truth), resamples=20)
    assert chance.mean is not None and stable.mean is not None and stable.mean > chance.mean
    assert stable.null is not None and stable.mean >= stable.null


@given(st.integers(0, 1000))
def test_the_order_of_nodes_does_not_matter(seed: int) -> None:
    nodes, order = planted(0.5), np.random.default_rng(seed).permutation(12)
    turned = Nodes(nodes.directions[order], nodes.activity[:, order], nodes.documents, nodes.positions[order])
    labels, others = grouped(nodes), grouped(turned)
    assert ((labels[order][:, None] == labels[order]) == (others[:, None] == others)).all()


def test_one_node_one_group_and_a_threshold_that_cannot_be() -> None:
    one = Nodes(np.ones((1, 3)), np.ones((5, 1)), np.arange(5), np.zeros(1, dtype=int))
    assert grouped(one).tolist() == [0]
    with pytest.raises(UserError, match=r"expected a least similarity in \(0, 1\]; got 0; .5 is usual"):
        grouped(one, 0.0)
