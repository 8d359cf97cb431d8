"""Setting the switches of one site by hand: by hand, against a network with the same masks, and a matched control."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from eval.errors import UserError
from eval.measures.geometry.forced_codes import as_many_at_random, cluster_code, force_codes, set_pieces
from eval.measures.geometry.piecewise_linear import code_of
from eval.measures.geometry.switches import Switch
from eval.measures.geometry.tracing import trace


def test_the_units_that_set_a_planted_cluster_apart() -> None:
    generator = np.random.default_rng(0)
    pieces = generator.integers(0, 2, (200, 30)).astype(np.uint8)
    inside = np.arange(200) < 40
    pieces[:40, [3, 17]] = 1
    pieces[40:, [3, 17]] = 0
    pieces[:40, 8], pieces[40:, 8] = 0, 2
    found = cluster_code(pieces, inside, 3)
    assert sorted(zip(found.units.tolist(), found.pieces.tolist(), strict=True)) == [(3, 1), (8, 0), (17, 1)]
    assert (found.share_inside == 1).all() and (found.share_outside == 0).all()
    with pytest.raises(UserError, match="expected a cluster of some of the items; got 200 of 200"):
        cluster_code(pieces, np.ones(200, dtype=bool))


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 4, 3), nn.Linear(4 * 4, 3)
        self.gate: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.first(x)
        hidden = z.relu() if self.gate is None else z * self.gate
        return self.third(self.second(hidden).relu().flatten(1))


def code(units: list[int], pieces: list[int]):
    found = cluster_code(np.array([[0] * 6, [1] * 6], np.uint8), np.array([True, False]), len(units))
    return type(found)(np.array(units), np.array(pieces, np.uint8), found.share_inside, found.share_outside)


def test_forced_switches_are_a_network_with_that_mask() -> None:
    net = _Net().eval()
    program = trace(net, torch.zeros(2, 4, 4))
    x = torch.randn(5, 2, 4, 4)
    site = program.sites[0].site
    found = force_codes(program, x, site, set_pieces(code([1, 4], [1, 0])))
    with torch.no_grad():
        torch.testing.assert_close(found.before, net(x), rtol=1e-4, atol=1e-5)
        gate = (net.first(x) > 0).float()
        plain = gate.clone()
        gate[:, 1], gate[:, 4] = 1.0, 0.0
        net.gate = gate
        torch.testing.assert_close(found.after, net(x), rtol=1e-4, atol=1e-5)
        hidden = net.first(x) * gate
        later = (net.second(hidden) > 0) != (net.second(net.first(x).relu()) > 0)
    assert torch.equal(found.flipped, (gate != plain).flatten(1).sum(1))
    torch.testing.assert_close(found.later, later.flatten(1).float().mean(1))
    net.gate = None
    same = force_codes(program, x, site, lambda pieces: pieces)
    assert torch.equal(same.before, same.after) and same.later.sum() == same.flipped.sum() == 0


def test_mirrored_values_have_the_code_that_was_set_and_continued_ones_do_not() -> None:
    net = _Net().eval()
    program = trace(net, torch.zeros(2, 4, 4))
    x = torch.randn(5, 2, 4, 4)
    site = program.sites[0].site
    found = force_codes(program, x, site, set_pieces(code([1, 4], [1, 0])), "mirrored")
    with torch.no_grad():
        z = net.first(x)
        z[:, 1], z[:, 4] = z[:, 1].abs(), -z[:, 4].abs()
        after = net.third(net.second(z.relu()).relu().flatten(1))
    torch.testing.assert_close(found.after, after, rtol=1e-4, atol=1e-5)
    other = force_codes(program, x, site, set_pieces(code([1, 4], [1, 0])))
    assert torch.equal(found.before, other.before) and torch.equal(found.flipped, other.flipped)
    assert float((found.after - other.after).abs().max()) > 1e-3


@pytest.mark.parametrize("thresholds", [(0.0,), (0.3,), (0.0, 6.0), (-1.0, 0.5, 2.0)])
def test_mirroring_keeps_the_distance_to_the_wall_and_lands_in_the_piece(thresholds: tuple[float, ...]) -> None:
    n = len(thresholds) + 1
    switch = Switch(thresholds, tuple(float(p) for p in range(n)), (0.0,) * n)
    generator = torch.Generator().manual_seed(0)
    z = 5 * torch.randn(4000, generator=generator, dtype=torch.float64)
    new = torch.randint(0, n, z.shape, generator=generator, dtype=torch.uint8)
    old, out = switch.pieces(z), switch.mirrored(z, new)
    assert torch.equal(switch.pieces(out), new) and torch.equal(out[old == new], z[old == new])
    gap = lambda values: (values[:, None] - torch.tensor(thresholds, dtype=z.dtype)).abs().min(1).values  # noqa: E731
    outer = (old != new) & ((new == 0) | (new == n - 1)) & ((old == 0) | (old == n - 1))
    torch.testing.assert_close(gap(out[outer]), gap(z[outer]))
    if n == 2:
        assert torch.allclose(out, torch.where(old == new, z, 2 * thresholds[0] - z))


def test_a_piece_between_two_walls_folds_what_lies_beyond_the_second() -> None:
    relu6 = Switch((0.0, 6.0), (0.0, 1.0, 0.0), (0.0, 0.0, 6.0))
    z, new = torch.tensor([-2.0, -8.0, -13.0, 7.0, 14.0, -1.0, 9.0, 0.0]), torch.tensor([1, 1, 1, 1, 1, 2, 0, 1])
    assert relu6.mirrored(z, new).tolist() == [2, 4, 1, 5, 2, 7, -3, 0]


def test_the_control_moves_as_many_switches_at_every_place() -> None:
    generator = torch.Generator().manual_seed(0)
    pieces = torch.randint(0, 3, (4, 6, 10), generator=generator, dtype=torch.uint8)
    chosen = code([0, 2, 5], [2, 0, 1])
    own, other = set_pieces(chosen)(pieces), as_many_at_random(chosen, 3, seed=1)(pieces)
    assert torch.equal((own != pieces).sum(1), (other != pieces).sum(1)) and other.max() <= 2
    assert not torch.equal(own, other)
    assert ((other.int() - pieces.int()).abs() <= 1).all()


def test_sites_without_switches_are_refused() -> None:
    program = trace(nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2), nn.GELU()), torch.zeros(1, 4, 4))
    x = torch.zeros(1, 1, 4, 4)
    for step in program.sites:
        with pytest.raises(UserError, match="expected a site of elementwise switches"):
            force_codes(program, x, step.site, lambda pieces: pieces)
    with pytest.raises(UserError, match="unknown site 'nothing'"):
        force_codes(program, x, "nothing", lambda pieces: pieces)
    assert code_of(program, x).shape == (1, 16)
