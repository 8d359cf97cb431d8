"""Exact crossings: against closed forms, against dense sampling, and in the degenerate cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from eval.errors import UserError
from eval.measures.geometry.sampled_segments import codes_along, sampled_crossings
from eval.measures.geometry.segments import crossings_of_segments, segment_crossings
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import everything, perceptron


def test_one_layer_roots_are_the_closed_form() -> None:
    model = perceptron(3, 20, 1)
    start, end = torch.randn(2, 3, dtype=torch.float64)
    weight, bias = model[0].weight.double(), model[0].bias.double()
    with torch.no_grad():
        roots = -(weight @ start + bias) / (weight @ (end - start))
    expected = roots[(roots > 0) & (roots < 1)].sort().values
    found = segment_crossings(trace(model, torch.zeros(3)), start, end)
    np.testing.assert_allclose(found.t, expected, atol=1e-12)
    assert found.counting == "exact" and found.count == len(expected)
    assert found.length == pytest.approx(float((end - start).norm()))


def test_a_budget_below_two_points_of_a_site_is_refused() -> None:
    program, ends = trace(perceptron(3, 20, 1), torch.zeros(3)), torch.randn(2, 3)
    with pytest.raises(UserError, match="expected max_values of at least 40, two points of .*; got 39; raise it"):
        segment_crossings(program, *ends, max_values=39)
    assert segment_crossings(program, *ends, max_values=40).count == segment_crossings(program, *ends).count


def test_a_unit_that_flips_twice_counts_twice() -> None:
    """relu(relu(t) - 2 relu(t - 1) - .25) along t in [-1, 3]: on in (.25, 1.75)."""

    def bump(x: torch.Tensor) -> torch.Tensor:
        return F.relu(F.relu(x) - 2 * F.relu(x - 1) - 0.25)

    found = segment_crossings(trace(bump, torch.zeros(1)), torch.tensor([-1.0]), torch.tensor([3.0]))
    np.testing.assert_allclose(-1 + 4 * found.t, [0, 0.25, 1, 1.75], atol=1e-12)
    assert found.by_site() == {"relu": 1, "relu#2": 1, "relu#3": 2}
    assert list(found.after) == [1, 1, 1, 0] and list(found.before) == [0, 0, 0, 1]


def test_a_unit_that_switches_exactly_where_another_has_its_kink_counts() -> None:
    """relu(relu(x) - relu(-x)) along x in [-1, 1]: the outer unit is exactly zero at the inner units' breakpoint."""
    program = trace(lambda x: F.relu(F.relu(x) - F.relu(-x)), torch.zeros(1))
    found = segment_crossings(program, torch.tensor([-1.0]), torch.tensor([1.0]))
    assert list(found.t) == [0.5, 0.5, 0.5] and found.by_site() == {"relu": 1, "relu#2": 1, "relu#3": 1}
    assert list(found.after[found.site == 2]) == [1]
    back = segment_crossings(program, torch.tensor([1.0]), torch.tensor([-1.0]))
    assert back.count == 3 and list(back.after[back.site == 2]) == [0]


@pytest.mark.parametrize("seed", [1])
def test_exact_equals_dense_sampling_with_every_building_block(seed: int) -> None:
    program = trace(everything(seed), torch.randn(3, 9, 9)).to(torch.float64)
    start, end = 2 * torch.randn(2, 3, 9, 9)
    exact = segment_crossings(program, start, end)
    sampled = sampled_crossings(program, start, end, n_samples=16_001, batch_size=1000)
    assert exact.by_site() == sampled.by_site()
    assert exact.count > 100 and sampled.counting == "sampled lower bound"
    coarse = sampled_crossings(program, start, end, n_samples=9)
    assert coarse.count <= exact.count


def test_codes_between_crossings_are_constant_and_the_events_explain_every_change() -> None:
    program = trace(everything(4), torch.randn(3, 9, 9))
    start, end = 2 * torch.randn(2, 3, 9, 9)
    found = segment_crossings(program, start, end)
    edges = np.concatenate([[0.0], np.unique(found.t), [1.0]])
    wide = np.diff(edges) > 1e-7
    inside = np.stack([edges[:-1] + 0.1 * np.diff(edges), edges[1:] - 0.1 * np.diff(edges)], 1)[wide]
    codes = codes_along(program, start, end, inside.reshape(-1)).reshape(len(inside), 2, -1)
    assert (codes[:, 0] == codes[:, 1]).all()
    total = (codes[1:, 0] != codes[:-1, 1]).sum()
    assert total <= found.count <= total + 2 * (~wide).sum()


def test_a_small_memory_budget_gives_the_same_crossings() -> None:
    program = trace(everything(1), torch.randn(3, 9, 9))
    start, end = 2 * torch.randn(2, 3, 9, 9)
    whole = segment_crossings(program, start, end)
    pieces = segment_crossings(program, start, end, max_values=20_000)
    np.testing.assert_allclose(whole.t, pieces.t, atol=1e-9)
    assert (np.sort(whole.unit) == np.sort(pieces.unit)).all()


def test_a_homogeneous_network_has_no_crossing_along_rays_from_the_origin() -> None:
    program = trace(perceptron(8, 30, 30, 3, bias=False), torch.zeros(8))
    x = torch.randn(8)
    assert segment_crossings(program, torch.zeros(8), 3 * x).count == 0
    biased = trace(perceptron(8, 30, 30, 3, bias=True), torch.zeros(8))
    assert segment_crossings(biased, torch.zeros(8), 3 * x).count > 0


def test_max_pool_follows_the_upper_envelope() -> None:
    """max(0, t, 2t - 1) on [-1, 2]: winner 0, then t, then 2t - 1; the fourth candidate never wins."""

    def fan(x: torch.Tensor) -> torch.Tensor:
        lines = torch.stack([0 * x, x, 2 * x - 1, x - 5], -1)
        return F.max_pool2d(lines.reshape(-1, 1, 2, 2), 2)

    found = segment_crossings(trace(fan, torch.zeros(1)), torch.tensor([-1.0]), torch.tensor([2.0]))
    np.testing.assert_allclose(-1 + 3 * found.t, [0, 1], atol=1e-12)
    assert list(found.before) == [0, 1] and list(found.after) == [1, 2]


def test_crossings_from_a_cut_are_those_of_the_rest_of_the_network() -> None:
    """The first cut, a convolution's output, carries an image axis of one that callers do not see."""
    program = trace(everything(2), torch.randn(3, 9, 9))
    cut = next(name for name in program.cuts if name != "input")
    tail = program.tail(cut).to(torch.float64)
    start, end = torch.randn(2, *tail.input_shape, dtype=torch.float64)
    found = segment_crossings(tail, start, end)
    assert found.count == sampled_crossings(tail, start, end, n_samples=20_001, batch_size=5000).count > 5


def test_zero_length_segment_has_no_density_and_says_why() -> None:
    program = trace(perceptron(3, 5, 1), torch.zeros(3))
    found = segment_crossings(program, torch.ones(3), torch.ones(3))
    assert found.count == 0
    assert found.density.value is None and "length zero has no density" in str(found.density.reason)


def test_bad_input_is_refused_by_name() -> None:
    smooth = trace(nn.Sequential(nn.Linear(3, 3), nn.GELU()), torch.zeros(3))
    with pytest.raises(UserError, match=r"piecewise-linear network for exact crossings; got a smooth .* '1:gelu'"):
        segment_crossings(smooth, torch.zeros(3), torch.ones(3))
    assert sampled_crossings(smooth, torch.zeros(3), torch.ones(3)).counting == "sampled lower bound"
    program = trace(perceptron(3, 50, 1), torch.zeros(3))
    with pytest.raises(UserError, match="expected input"):
        segment_crossings(program, torch.zeros(4), torch.ones(4))
    with pytest.raises(UserError, match="expected finite inputs"):
        segment_crossings(program, torch.zeros(3), torch.full((3,), torch.inf))
    with pytest.raises(UserError, match="more than 2 crossings"):
        segment_crossings(program, torch.full((3,), -9.0), torch.full((3,), 9.0), max_crossings=2)
    with pytest.raises(UserError, match="at least 2 samples; got 1"):
        sampled_crossings(program, torch.zeros(3), torch.ones(3), n_samples=1)


def test_a_switch_of_two_thresholds_met_exactly_at_another_ones_kink_says_which_piece() -> None:
    """relu6(2 (relu(x) - relu(-x)) + 6 c) for c = 0 and 1 along x in [-1, 1]: 0 or 6 exactly at the inner kink."""
    for c, before, after in ((0.0, 0, 1), (1.0, 1, 2)):
        program = trace(lambda x, c=c: F.relu6(2 * (F.relu(x) - F.relu(-x)) + 6 * c), torch.zeros(1))
        for start, expected in ((-1.0, (before, after)), (1.0, (after, before))):
            found = segment_crossings(program, torch.tensor([start]), torch.tensor([-start]))
            outer = found.site == 2
            assert (found.before[outer].tolist(), found.after[outer].tolist()) == ([expected[0]], [expected[1]])
            assert found.t[outer].tolist() == [0.5]


@pytest.mark.parametrize("budget", [2**28, 60_000])
def test_many_segments_at_once_are_those_of_one_by_one(budget: int) -> None:
    """Every building block, a segment of length zero among them, and a budget that few segments fit."""
    program = trace(everything(), torch.randn(3, 9, 9))
    starts, ends = torch.randn(2, 4, 3, 9, 9, dtype=torch.float64)
    ends[2] = starts[2]
    ends[3] = starts[3] + 0.2 * ends[3]
    together = crossings_of_segments(program, starts, ends, max_values=budget)
    alone = [segment_crossings(program, a, b) for a, b in zip(starts, ends, strict=True)]
    assert [one.count for one in together] == [one.count for one in alone] and together[2].count == 0
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.t, other.t, atol=1e-9)
        assert sorted(zip(one.site, one.unit, one.before, one.after, strict=True)) == sorted(
            zip(other.site, other.unit, other.before, other.after, strict=True)
        )
        assert one.length == pytest.approx(other.length)


def test_a_unit_that_is_zero_at_the_end_of_one_segment_says_nothing_of_the_next() -> None:
    program = trace(torch.relu, torch.zeros(1))
    starts, ends = torch.tensor([[-1.0], [0.0], [1.0]]), torch.tensor([[0.0], [1.0], [-1.0]])
    assert [one.count for one in crossings_of_segments(program, starts, ends)] == [0, 0, 1]


def test_as_many_starts_as_ends() -> None:
    with pytest.raises(UserError, match=r"expected as many starts as ends; got \[2, 1\] and \[3, 1\]"):
        crossings_of_segments(trace(torch.relu, torch.zeros(1)), torch.zeros(2, 1), torch.zeros(3, 1))
