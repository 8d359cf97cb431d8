"""How much of an output few terms carry: planted equations, NumPy's R^2, outputs that never vary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from eval.measures.connectors.connector import Connector
from eval.measures.connectors.readable import variance_carried


def planted(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Connector]:
    """Two outputs of six inputs: one mostly two terms, one of six equal ones; a third is silent."""
    random = np.random.default_rng(seed)
    x = torch.from_numpy(random.exponential(size=(500, 6)) * (random.random((500, 6)) < 0.4)).float()
    weight = torch.tensor([[3.0, 1, 0], [-2, 1, 0], [0.1, 1, 0], [0.05, 1, 0], [0, 1, 0], [0, 1, 0]])
    bias = torch.tensor([0.2, -0.5, 0.0])
    return x, (x @ weight + bias).relu(), Connector.from_dense(weight, bias, "relu")


def test_all_terms_carry_everything_and_few_what_they_are() -> None:
    x, y, connector = planted()
    found = variance_carried(connector, x, y, (0, 2, 6))
    assert found[2, :2].tolist() == pytest.approx([1, 1], abs=1e-9)
    assert float(found[1, 0]) > 0.98 and float(found[1, 1]) < 0.6
    assert torch.isnan(found[:, 2]).all()


def test_the_share_is_that_of_scikit_learn_with_the_others_at_their_mean() -> None:
    x, y, connector = planted(3)
    largest = sorted(connector.edges(0), key=lambda edge: -abs(edge[1]) * float(x[:, edge[0]].square().mean().sqrt()))
    drive = torch.full((len(x),), float(connector.bias[0]))
    for place, (source, weight) in enumerate(largest):
        drive = drive + weight * (x[:, source] if place < 1 else x[:, source].mean())
    wanted = r2_score(y[:, 0].numpy(), drive.relu().numpy())
    assert float(variance_carried(connector, x, y, (1,), [0])[0, 0]) == pytest.approx(wanted, abs=1e-6)


def test_a_wrong_equation_carries_less_than_nothing() -> None:
    x, y, connector = planted()
    turned = connector.with_weights(-connector.weights)
    assert float(variance_carried(turned, x, y, (6,))[0, 0]) < 0
    plain = Connector.from_dense(torch.zeros(6, 3), torch.zeros(3), "linear")
    assert float(variance_carried(plain, x, y - y.mean(0), (5,))[0, 0]) == pytest.approx(0, abs=1e-9)
