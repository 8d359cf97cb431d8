"""Soft codes and summed distances of a traced network against the activations written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eval.errors import UserError
from eval.measures.codes.program_codes import code_part, distances_from, site_codes, smooth_gate, soft_codes
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import perceptron


def test_gates_of_smooth_units_and_pieces_of_switches() -> None:
    def network(x: Tensor) -> Tensor:
        return F.relu6(F.silu(x) * 4)

    x = torch.tensor([[-1.0, 0.5, 3.0], [0.0, -2.0, 1.0]])
    found = soft_codes(trace(network, torch.zeros(3)), x, sharpness=2.0).gates
    assert found is not None
    z = F.silu(x) * 4
    pieces = ((z > 0).float() + (z > 6)) / 2
    np.testing.assert_allclose(found, torch.cat([torch.sigmoid(2 * x), pieces], 1).numpy(), atol=1e-6)


def test_each_smooth_gate_is_its_own() -> None:
    z = torch.linspace(-4, 4, 9)
    assert torch.allclose(smooth_gate("silu", z) * z, F.silu(z))
    assert torch.allclose(smooth_gate("gelu", z) * z, F.gelu(z), atol=1e-6)
    assert torch.allclose(smooth_gate("hardswish", z) * z, F.hardswish(z), atol=1e-6)


def test_what_has_no_soft_gate_is_refused() -> None:
    pool = trace(nn.MaxPool2d(2), torch.zeros(1, 4, 4))
    with pytest.raises(UserError, match="max-pool at 'max_pool' has no soft gate; use hard codes"):
        soft_codes(pool, torch.zeros(1, 1, 4, 4))
    for sharpness in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match=f"expected a sharpness above 0; got {sharpness}; 1 is the network's own"):
            soft_codes(pool, torch.zeros(1, 1, 4, 4), sharpness=sharpness)


def test_parts_say_what_a_site_is() -> None:
    pool = code_part(trace(nn.MaxPool2d(2), torch.zeros(3, 4, 4)).sites[0])
    assert (pool.activation, pool.shape, pool.symbols) == ("max_pool", (3, 2, 2), 5)
    relu = code_part(trace(F.relu6, torch.zeros(3)).sites[0])
    assert (relu.activation, relu.shape, relu.thresholds, relu.symbols) == ("hardtanh", (3,), (0.0, 6.0), 0)


def test_distances_add_up_over_the_sites_from_a_layer_on() -> None:
    program = trace(perceptron(4, 9, 7, 5, 2), torch.zeros(4))
    codes = site_codes(program, [torch.randn(6, 4), torch.randn(3, 4)])
    names = list(codes)
    each = [codes[name].hamming_matrix() for name in names]
    assert (distances_from(codes, names[1:]) == each[1] + each[2]).all() and len(names) == 3
    assert distances_from(codes, names[2:]).dtype == np.int64 and (distances_from(codes, names) == sum(each)).all()
    with pytest.raises(UserError, match="expected at least one site after the layer; got none; choose an earlier"):
        distances_from(codes, [])
    with pytest.raises(UserError, match="expected inputs and at least one switch; .* has 3 sites"):
        site_codes(program, [])


def test_a_smooth_unit_has_its_one_threshold_at_zero() -> None:
    part = code_part(trace(F.silu, torch.zeros(3)).sites[0])
    assert (part.activation, part.thresholds, part.symbols) == ("silu", (0.0,), 0)


def test_a_layer_of_one_unit_has_one_place_and_a_batch_of_one_none() -> None:
    one = trace(nn.Sequential(nn.Linear(3, 1), nn.ReLU()), torch.zeros(3))
    image = trace(nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU()), torch.zeros(1, 4, 4))
    assert code_part(one.sites[0]).shape == (1,)
    assert code_part(image.sites[0]).shape == (2, 3, 3)
