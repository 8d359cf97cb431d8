"""Steps across a decision boundary: the exact distance for affine maps, small and real for networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.decision_paths import ways_out
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import perceptron


def test_out_of_a_half_space_by_the_shortest_way() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    x = torch.tensor([[1.0, 0.5], [-1.0, 2.0]])
    found = ways_out(lambda y: y @ weight.T, x, overshoot=1e-3)
    assert found.found.all() and found.before.tolist() == [0, 0] and found.steps.tolist() == [1, 1]
    torch.testing.assert_close((found.points - x).norm(dim=1), torch.tensor([1.0, 1.0]), rtol=2e-3, atol=0)
    torch.testing.assert_close(found.points - x, -torch.tensor([[0.6, 0.8], [0.6, 0.8]]), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_networks_change_class_nearer_than_along_random_directions(seed: int) -> None:
    program = trace(perceptron(20, 40, 30, 5, seed=seed), torch.zeros(20)).to(torch.float64)
    x = torch.randn(12, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = ways_out(program, x)
    assert found.found.all()
    with torch.no_grad():
        assert torch.equal(program(found.points).argmax(1), found.after)
    step = found.points - x
    way = torch.randn(500, *x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    way *= step.norm(dim=1)[:, None] / way.norm(dim=2, keepdim=True)
    with torch.no_grad():
        changed = (program((x + way).reshape(-1, 20)).argmax(1).reshape(500, 12) != found.before).double().mean()
    assert changed < 0.1


def test_points_rest_where_they_have_changed() -> None:
    calls: list[int] = []

    def network(y: Tensor) -> Tensor:
        calls.append(len(y))
        return torch.stack([y[:, 0], torch.zeros(len(y)) + 0 * y[:, 0]], 1)

    found = ways_out(network, torch.tensor([[1.0], [2.0]]))
    assert found.found.all() and max(calls) == 2


def test_a_constant_map_has_no_way_out_and_ends_at_once() -> None:
    found = ways_out(lambda y: 0 * y @ torch.zeros(3, 4) + torch.arange(4.0), torch.ones(2, 3), most_steps=9)
    assert not found.found.any() and found.steps.tolist() == [0, 0]


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match=r"two classes or more; got \[2, 1\]"):
        ways_out(lambda y: y.sum(1, keepdim=True), torch.ones(2, 3))
    with pytest.raises(UserError, match="expected at least 1 step and an overshoot above 0; got 0"):
        ways_out(lambda y: y, torch.ones(2, 3), most_steps=0)
