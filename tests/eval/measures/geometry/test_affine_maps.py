"""Local affine maps: true at *other* points of the polytope, wrong beyond it, and one bit at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from eval.errors import UserError
from eval.measures.geometry.affine_maps import exit_along, local_map, map_distance, nearest_boundary, relative_error
from eval.measures.geometry.piecewise_linear import site_symbols, walk
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import everything, perceptron


def _flips(program, x, y) -> int:
    """Switches that differ (a pool window that dies with its last live unit is the same wall, not another one)."""
    pair = torch.stack([x, y])
    codes = [site_symbols(step, z) for step, z in walk(program, pair) if step.switch is not None]
    return sum(int((code[0] != code[1]).sum()) for code in codes)


@pytest.mark.parametrize("seed", range(3))
def test_map_holds_at_other_points_of_the_polytope_and_fails_linearly_beyond(seed: int) -> None:
    program = trace(everything(seed), torch.randn(3, 9, 9)).to(torch.float64)
    x, way = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    affine, leave = local_map(program, x), exit_along(program, x, way)
    distance = leave.distance.value
    assert distance is not None
    inside = torch.stack([x + s * distance * way for s in (0.2, 0.6, 0.99)])
    assert [_flips(program, x, y) for y in inside] == [0, 0, 0]
    assert relative_error(program, affine, inside) < 1e-12
    beyond = [x + (distance + s * (leave.second - distance)) * way for s in (0.2, 0.4, 0.8)]
    flips = [_flips(program, x, y) for y in beyond]  # overlapping pool windows make copies of a unit: one wall
    assert flips[0] == flips[1] == flips[2] and (flips[0] >= 1 or "max_pool" in leave.site)


def test_error_grows_linearly_from_zero_past_the_nearest_boundary() -> None:
    program = trace(perceptron(5, 12, 12, 3), torch.zeros(5)).to(torch.float64)
    x = torch.randn(5, dtype=torch.float64)
    leave, way = nearest_boundary(program, x)
    affine, distance = local_map(program, x), leave.distance.value
    assert distance is not None and float(way.norm()) == pytest.approx(1)
    room = leave.second - distance
    errors = []
    for share in (1e-6, 0.1, 0.2, 0.4):
        y = x + (distance + share * room) * way
        assert _flips(program, x, y) == 1
        errors.append(float((affine(y[None]) - program(y[None])).norm()))
    assert errors[0] < 1e-5 * max(errors) + 1e-13
    assert errors[2] / errors[1] == pytest.approx(2, rel=1e-6) and errors[3] / errors[1] == pytest.approx(4, rel=1e-6)


def test_nearest_boundary_is_nearer_than_every_random_exit() -> None:
    program = trace(perceptron(5, 12, 12, 3), torch.zeros(5)).to(torch.float64)
    x = torch.randn(5, dtype=torch.float64)
    nearest = nearest_boundary(program, x)[0].distance.value
    assert nearest is not None
    for way in torch.randn(200, 5, dtype=torch.float64):
        distance = exit_along(program, x, way / way.norm()).distance.value
        assert distance is None or distance >= nearest * (1 - 1e-9)


def test_matrix_jvp_and_vjp_are_one_map_and_the_jacobian() -> None:
    program = trace(everything(), torch.randn(3, 9, 9)).to(torch.float64)
    x = torch.randn(3, 9, 9, dtype=torch.float64)
    affine = local_map(program, x)
    matrix = affine.matrix()
    jacobian = torch.autograd.functional.jacobian(lambda y: program(y[None])[0], x).reshape(5, -1)
    torch.testing.assert_close(matrix, jacobian)
    way, weights = torch.randn(2, 3, 9, 9, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    torch.testing.assert_close(affine.jvp(way), way.flatten(1) @ matrix.T)
    torch.testing.assert_close(affine.vjp(weights).flatten(1), weights @ matrix)
    torch.testing.assert_close(matrix @ x.flatten() + affine.offset(), program(x[None])[0])


def test_gate_and_tangent_maps_differ_for_gelu_and_agree_for_relu() -> None:
    torch.manual_seed(0)
    smooth = trace(nn.Sequential(nn.Linear(6, 20), nn.GELU(), nn.Linear(20, 3)), torch.zeros(6)).to(torch.float64)
    x = torch.randn(6, dtype=torch.float64)
    gate, tangent = local_map(smooth, x, "gate"), local_map(smooth, x, "tangent")
    for affine in (gate, tangent):
        torch.testing.assert_close(affine(x[None]), smooth(x[None]))
    jacobian = torch.autograd.functional.jacobian(lambda y: smooth(y[None])[0], x)
    torch.testing.assert_close(tangent.matrix(), jacobian)
    assert (gate.matrix() - jacobian).norm() > 0.1 * jacobian.norm()
    relu = trace(perceptron(6, 20, 3), torch.zeros(6)).to(torch.float64)
    torch.testing.assert_close(local_map(relu, x, "gate").matrix(), local_map(relu, x, "tangent").matrix())


def test_map_distance_estimates_the_frobenius_norm() -> None:
    program = trace(perceptron(20, 40, 30), torch.zeros(20)).to(torch.float64)
    a, b = (local_map(program, x) for x in torch.randn(2, 20, dtype=torch.float64))
    exact = float((a.matrix() - b.matrix()).norm())
    assert map_distance(a, b, n_probes=4000) == pytest.approx(exact, rel=0.05)
    assert map_distance(a, a) == 0


def test_bad_input() -> None:
    program = trace(perceptron(4, 5, 2), torch.zeros(4))
    x = torch.randn(4)
    with pytest.raises(UserError, match="expected kind 'gate' or 'tangent'; got 'secant'"):
        local_map(program, x, "secant")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="got the zero vector"):
        exit_along(program, x, torch.zeros(4))
    with pytest.raises(UserError, match="A would be 2 x 4, more than 3 numbers; use jvp and vjp"):
        local_map(program, x).matrix(max_values=3)
    on_it = trace(nn.ReLU(), torch.zeros(4))
    with pytest.raises(UserError, match="x lies exactly on a boundary of 'ReLU:relu'|x lies exactly on a boundary"):
        exit_along(on_it, torch.zeros(4), torch.ones(4))
    with pytest.raises(UserError, match="distance to a boundary; got a smooth activation"):
        exit_along(trace(nn.GELU(), torch.zeros(4)), x, torch.ones(4))
    assert exit_along(on_it, torch.ones(4), torch.ones(4)).distance.reason == "the ray never leaves its polytope"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet", "resnet18"])
def test_torchvision_networks(name: str) -> None:
    from eval.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    from torchvision import models

    torch.manual_seed(0)
    options = {"init_weights": False} if name == "googlenet" else {}  # its own start hides the input from the output
    model = getattr(models, name)(weights=None, **options).eval()
    single = trace(model, torch.zeros(3, 64, 64))
    program = single.to(torch.float64)
    for _ in range(5):  # a wall behind which everything is switched off changes nothing at the output: take another way
        x, way = torch.randn(2, 3, 64, 64, dtype=torch.float64)
        leave = exit_along(program, x, way)
        distance = leave.distance.value
        assert distance is not None
        y = x + 0.9 * distance * way
        affine = local_map(program, x)
        assert _flips(program, x, y) == 0 and relative_error(program, affine, y[None]) < 1e-10
        assert relative_error(single, local_map(single, x.float()), y[None].float()) < 1e-4
        errors = []
        for share in (0.2, 0.4, 0.8):
            z = x + (distance + share * (leave.second - distance)) * way
            assert _flips(program, x, z) == (0 if "max_pool" in leave.site else 1)
            errors.append(float((affine(z[None]) - program(z[None])).norm()))
        if errors[0] > 0:
            break
    assert errors[1] / errors[0] == pytest.approx(2, rel=1e-3) and errors[2] / errors[0] == pytest.approx(4, rel=1e-3)


def test_a_point_on_a_boundary_has_no_single_map() -> None:
    net = perceptron(5, 12, 12, 3)
    program = trace(net, torch.zeros(5)).to(torch.float64)
    with torch.no_grad():
        first = next(part for part in net.modules() if isinstance(part, nn.Linear))
        first.bias.zero_()
    program = trace(net, torch.zeros(5)).to(torch.float64)
    with pytest.raises(UserError, match="x lies exactly on a boundary of .*; it has no single polytope; move it"):
        local_map(program, torch.zeros(5, dtype=torch.float64))  # every unit of the first layer is at 0
    assert local_map(program, torch.full((5,), 1e-9, dtype=torch.float64)).kind == "tangent"
    with torch.no_grad():
        first.weight[3] = 0.0  # a unit that is always at 0 moves with nothing: no wall
    program = trace(net, torch.zeros(5)).to(torch.float64)
    x = torch.randn(5, dtype=torch.float64)
    assert relative_error(program, local_map(program, x), x[None]) < 1e-12


def test_a_network_of_exactly_the_most_units_is_searched() -> None:
    program = trace(perceptron(3, 6, 2), torch.zeros(3)).to(torch.float64)
    x = torch.ones(3, dtype=torch.float64)
    assert nearest_boundary(program, x, max_units=program.n_units)[0].distance.is_defined
    with pytest.raises(UserError, match=f"expected at most {program.n_units - 1} units; got {program.n_units}; use a "):
        nearest_boundary(program, x, max_units=program.n_units - 1)
