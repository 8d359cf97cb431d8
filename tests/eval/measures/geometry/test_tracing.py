"""The traced network is the network, every switch is found, and what has no code is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eval.errors import UserError
from eval.measures.codes.program_codes import code_map, site_codes, soft_codes
from eval.measures.geometry.piecewise_linear import _without_batch, code_of, walk
from eval.measures.geometry.segments import segment_crossings
from eval.measures.geometry.tracing import TOLERANCES, trace
from eval.torchvision_operators import declare_missing_operators
from tests.eval.measures.geometry.piecewise_networks import everything, perceptron


def test_traced_network_equals_the_network_for_any_batch() -> None:
    model = everything()
    program = trace(model, torch.randn(3, 9, 9))
    x = torch.randn(7, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(program(x), model(x), rtol=1e-5, atol=1e-6)


def test_every_switch_has_a_site_and_reused_modules_have_two() -> None:
    sites = [step.site for step in trace(everything(), torch.randn(3, 9, 9)).sites]
    assert sites == [
        *["relu:relu", "pool:max_pool", "hardtanh", "leaky_relu", "max_pool"],
        *["relu:relu#2", "clamp", "hardtanh#2", "abs"],
    ]


def test_tail_from_a_cut_continues_the_network() -> None:
    model = everything()
    program = trace(model, torch.randn(3, 9, 9))
    x = torch.randn(4, 3, 9, 9)
    with torch.no_grad():
        carried = model.pool(model.relu(model.features(x) - 0.3))
        torch.testing.assert_close(program.tail("pool")(carried), model(x), rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match=r"unknown layer 'pol': did you mean pool"):
        program.tail("pol")


def test_codes_are_signs_of_preactivations_and_zero_is_off() -> None:
    model = perceptron(2, 3, 1)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
        model[0].bias.zero_()
    code = code_of(trace(model, torch.zeros(2)), torch.tensor([[1.0, -1.0], [0.0, 2.0]]))
    assert code.tolist() == [[1, 0, 0], [0, 1, 1]]


def test_relu6_has_two_thresholds_and_a_dead_window_its_own_symbol() -> None:
    program = trace(lambda x: F.max_pool2d(F.relu6(x), 2), torch.zeros(1, 2, 2))
    x = torch.tensor([[-1.0, 3.0], [7.0, 2.0]]).reshape(1, 1, 2, 2)
    codes = [step_code.tolist() for step_code in (code_of(program, x), code_of(program, -x.abs()))]
    assert codes == [[[0, 1, 2, 1, 2]], [[0, 0, 0, 0, 4]]]


def test_padded_ceil_mode_pool_symbols_name_the_winner() -> None:
    pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
    program = trace(pool, torch.zeros(2, 6, 6))
    x = torch.randn(5, 2, 6, 6)
    step, z = next(walk(program, x))
    assert step.window is not None
    winners = step.window.symbols(z).long().unsqueeze(-1)
    picked = step.window.candidates(z).gather(-1, winners).squeeze(-1)
    torch.testing.assert_close(picked.reshape(5, 2, -1), pool(x).flatten(-2))  # one image is traced: an axis of one


def test_packed_codes_hold_the_same_bits_and_distances() -> None:
    program = trace(everything(), torch.randn(3, 9, 9))
    x = torch.randn(6, 3, 9, 9)
    raw = code_of(program, x).numpy()
    codes = site_codes(program, [x[:4], x[4:]])
    assert list(codes) == [step.site for step in program.sites] == [p.layer for p in code_map(program).parts]
    start = 0
    for step in program.sites:
        block = raw[:, start : start + step.n_units].astype(int)
        start += step.n_units
        if step.window is None:
            expected = abs(block[0] - block[5]).sum()  # two thresholds passed are two bits
        else:
            expected = (block[0] != block[5]).sum()
        assert codes[step.site].hamming_matrix()[0, 5] == expected


def test_soft_codes_become_hard_as_the_gate_sharpens() -> None:
    torch.manual_seed(0)
    program = trace(nn.Sequential(nn.Linear(5, 40), nn.GELU(), nn.Linear(40, 30), nn.SiLU()), torch.zeros(5))
    x = torch.randn(8, 5)
    assert {step.kind for step in program.sites} == {"smooth"}
    gates = soft_codes(program, x, sharpness=1e6).gates
    assert gates is not None and (abs(gates - code_of(program, x).numpy()) < 1e-3).mean() > 0.999
    with pytest.raises(UserError, match="expected a sharpness above 0; got 0.0"):
        soft_codes(program, x, sharpness=0.0)


class _Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.gate(x)) * self.up(x)


def _attention(x: Tensor) -> Tensor:
    query, key = x.view(1, 4, 1), 2 * x.view(1, 1, 4)
    return torch.baddbmm(torch.zeros(1, 4, 4), query, key).flatten(1)


class _Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), r"got sigmoid at '1' of Sequential"),
        (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), r"got LayerNorm at '1'"),
        (nn.Sequential(nn.Linear(4, 4), nn.Hardshrink()), r"got Hardshrink \(it jumps\) at '1'"),
        (lambda x: torch.lerp(x, 2 * x, x), r"got lerp with a weight that depends on the input"),
        (nn.GLU(), r"got GLU \(a gate: product of two functions of the input\)"),
        (lambda x: F.dropout(x, 0.5), r"draws random numbers at '<lambda>' \(bernoulli\): dropout or stochastic depth"),
        (lambda x: x + torch.randn(4), r"draws random numbers at '<lambda>' \(randn\)"),
        (nn.RReLU().train(), r"RReLU in train mode"),
        (_attention, r"multiplies two input-dependent tensors at '_attention' \(baddbmm\)"),
        (lambda x: torch.addmm(x, x.view(1, 4), torch.outer(x[0], x[0])), r"multiplies two input-dependent"),
        (lambda x: F.linear(x, torch.outer(x[0], x[0]) + torch.eye(4)), r"multiplies two input-dependent"),
        (lambda x: F.linear(x, torch.eye(4) * x, x[0]), r"multiplies two input-dependent"),
        (
            lambda x: torch.div(x, 0.5, rounding_mode="floor"),
            r"got division with rounding_mode='floor' \(a stair",
        ),
        (lambda x: 1 / (x + 9), r"expected affine"),
        (lambda x: torch.ones(4) / (x + 9), r"multiplies two input-dependent tensors|divides"),
        (lambda x: x.int().float(), r"to whole numbers \(a staircase\)"),
        (lambda x: torch.where(x > 0, x, -x), r"got the operation 'gt'"),
        (lambda x: x.gather(1, x.argmax(1, keepdim=True)), r"got the operation 'argmax' at '<lambda>'"),
        (
            lambda x: x + float(np.random.rand()),
            r"expected \S+ to be a fixed function of its input",
        ),
        (nn.Softmax(-1), r"got softmax \(attention\)"),
        (_Gated(), r"_Gated multiplies two input-dependent tensors at '_Gated' \(mul\)"),
        (_Branching(), r"_Branching branches on the values of its input"),
        (lambda x: (x, x), r"to return one tensor; got tuple"),
        (lambda x: torch.zeros(len(x), 1), r"does not depend on its input"),
        (
            lambda x: F.batch_norm(x.reshape(2, 2), None, None, training=True).reshape(1, 4),
            r"got train mode \(it normal",
        ),
    ],
)
def test_what_has_no_code_is_refused_by_name(model, message: str) -> None:
    with pytest.raises(UserError, match=message):
        trace(
            model.eval() if isinstance(model, nn.Module) and not isinstance(model, nn.RReLU) else model, torch.randn(4)
        )


def test_train_mode_is_refused_with_the_module_name() -> None:
    with pytest.raises(UserError, match=r"expected BatchNorm2d '1' in eval mode; got train mode; call model.eval"):
        trace(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)), torch.zeros(1, 2, 2))
    with pytest.raises(UserError, match=r"expected Dropout '0' in eval mode"):
        trace(nn.Sequential(nn.Dropout(0.5)), torch.zeros(2))


def test_bad_inputs_are_named() -> None:
    program = trace(perceptron(4, 5, 2), torch.zeros(4))
    with pytest.raises(UserError, match=r"expected input \[point, 4\].*got \[4\]; add the batch axis"):
        program(torch.zeros(4))
    with pytest.raises(UserError, match="expected finite inputs"):
        program(torch.full((1, 4), torch.nan))


class _Taped(nn.Module):
    """Fixed while it is traced, another function afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x.relu() * self.calls


def test_a_network_that_changes_between_calls_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected _Taped to be a fixed function of its input"):
        trace(_Taped().eval(), torch.randn(4))


class _Tent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1 - 2 * (x.relu() + (-x).relu())


def test_a_network_whose_rounding_grows_is_no_random_one() -> None:
    """Twenty tents double every difference twenty times; the norms between round otherwise than the steps do."""
    layers: list[nn.Module] = []
    for _ in range(20):
        norm = nn.BatchNorm1d(4)
        nn.init.uniform_(norm.weight, 0.9, 1.0)
        norm.running_mean.uniform_(-0.05, 0.05)  # type: ignore[union-attr]
        layers += [norm, _Tent()]
    model = nn.Sequential(*layers).eval()
    points = torch.rand(64, 4) * 2 - 1
    with torch.no_grad():
        program = trace(model, torch.rand(4))
        off = (program(points) - model(points)).abs().max()
    assert off > TOLERANCES[torch.float32], "or the test shows nothing"


def test_stochastic_depth_is_refused_in_train_mode_and_read_in_eval_mode() -> None:
    declare_missing_operators()
    from torchvision.ops import StochasticDepth

    model = nn.Sequential(nn.Linear(4, 4), StochasticDepth(0.5, "row"), nn.ReLU())
    with pytest.raises(UserError, match=r"draws random numbers at '1' \(bernoulli\).*call model.eval\(\)"):
        trace(model, torch.randn(4))
    assert trace(model.eval(), torch.randn(4)).n_units == 4


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_numbers_are_named(value: float) -> None:
    model = perceptron(4, 5, 2)
    with torch.no_grad():
        model[2].weight[1, 3] = value  # type: ignore[operator]
    with pytest.raises(UserError, match=r"expected finite weights; got NaN or infinity in '2.weight' of Sequential"):
        trace(model, torch.randn(4))
    bad = torch.full((4,), value)
    with pytest.raises(UserError, match=r"expected finite weights|returns NaN or infinity"):
        trace(lambda x: (x * bad).relu(), torch.randn(4))


def _written(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, 0] = 0.5
    y[:, 1] = x[:, 2].relu()
    y[:, [3, 4]] = x[:, :2]
    return y


PIECEWISE = [  # callable, shape, units
    (nn.PReLU(), (6,), 6),
    (nn.PReLU(3), (3, 4, 4), 48),
    (nn.Hardsigmoid(), (6,), 6),
    (nn.Hardtanh(-0.5, 0.25), (6,), 6),
    (nn.RReLU(), (6,), 6),
    (nn.Softshrink(0.3), (6,), 6),
    (lambda x: torch.maximum(x, 2 * x.flip(1) - 0.2), (6,), 6),
    (lambda x: torch.minimum(x, torch.full((6,), 0.1)), (6,), 6),
    (lambda x: x.clamp(min=torch.linspace(-1, 0, 6), max=torch.tensor(0.5)), (6,), 12),
    (lambda x: x.view(len(x), 2, 3).amax(1), (6,), 3),
    (lambda x: x.view(len(x), 2, 3).max(-1)[0], (6,), 2),
    (lambda x: x.view(len(x), 2, 3).amin((1, 2), keepdim=True).flatten(1), (6,), 1),
    (nn.AdaptiveMaxPool1d(3), (2, 7), 6),
    (nn.AdaptiveMaxPool2d((3, 2)), (2, 7, 5), 12),
    (nn.AdaptiveMaxPool3d(2), (2, 5, 4, 3), 16),
    (nn.MaxPool1d(3, 2, 1), (2, 8), 8),
    (nn.MaxPool3d(3, 2, 1), (2, 5, 5, 5), 54),
    (nn.MaxPool3d((2, 3, 2), (1, 2, 2), ceil_mode=True), (1, 4, 6, 5), 3 * 3 * 3),
    (lambda x: x[:, [0, 2, 2]].relu(), (6,), 3),
    (lambda x: x.gather(1, torch.tensor([[5, 0, 1]]).expand(len(x), 3)).relu(), (6,), 3),
    (lambda x: (x + torch.zeros_like(x) + x.new_ones(6)).relu(), (6,), 6),
    (_written, (6,), 1),
]


@pytest.mark.parametrize(("function", "shape", "units"), PIECEWISE)
def test_piecewise_linear_steps_are_what_they_are(function, shape: tuple[int, ...], units: int) -> None:
    function = function.eval() if isinstance(function, nn.Module) else function
    program = trace(function, torch.randn(shape))
    assert program.n_units == units
    x = torch.randn(9, *shape)
    with torch.no_grad():
        torch.testing.assert_close(program(x), function(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("function", "shape", "units"), PIECEWISE)
def test_crossings_of_every_step_are_those_of_dense_sampling(function, shape: tuple[int, ...], units: int) -> None:
    function = function.eval() if isinstance(function, nn.Module) else function
    torch.manual_seed(1)
    program = trace(function, torch.randn(shape)).to(torch.float64)
    start, end = torch.randn(2, *shape, dtype=torch.float64)
    t = torch.linspace(0, 1, 4001, dtype=torch.float64).reshape(-1, *[1] * len(shape))
    with torch.no_grad():
        code = code_of(program, start + t * (end - start)).int()
    assert segment_crossings(program, start, end).count == (code[1:] - code[:-1]).ne(0).sum()


def test_hardswish_is_smooth_and_has_hardsigmoid_for_a_gate() -> None:
    program = trace(nn.Hardswish(), torch.randn(5))
    assert [step.kind for step in program.sites] == ["smooth"]
    x = 4 * torch.randn(7, 5)
    gates = soft_codes(program, x).gates
    assert gates is not None
    np.testing.assert_allclose(gates * x.numpy(), F.hardswish(x).numpy(), atol=1e-6)
    with pytest.raises(UserError, match="expected a piecewise-linear network for exact crossings"):
        segment_crossings(program, x[0], x[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, which users still have
def test_compiled_scripted_exported_and_parallel_modules_are_unwrapped() -> None:
    model = perceptron(4, 5, 2).eval()
    inner = nn.Sequential(torch.compile(perceptron(4, 5, 4)), nn.ReLU()).eval()
    in_place = perceptron(4, 5, 2).eval()
    in_place.compile()
    exported = torch.export.export(model, (torch.zeros(1, 4),))
    scripted = torch.jit.script(model)
    x = torch.randn(6, 4)
    for wrapped in (torch.compile(model), in_place, exported, scripted, nn.DataParallel(model)):
        program = trace(wrapped, torch.zeros(4))  # type: ignore[arg-type]
        with torch.no_grad():
            torch.testing.assert_close(program(x), model(x))
    assert trace(inner, torch.zeros(4)).n_units == 9


def test_a_pool_with_more_places_than_a_symbol_can_name_is_refused() -> None:
    with pytest.raises(UserError, match="expected max-pool windows of at most 254 places; got 256"):
        trace(nn.AdaptiveMaxPool2d(1), torch.randn(1, 16, 16))


def test_hardtanh_has_its_own_bounds_where_none_are_given() -> None:
    assert trace(F.hardtanh, torch.zeros(2)).sites[0].switch.thresholds == (-1.0, 1.0)
    assert trace(lambda x: F.hardtanh(x, -2.0, 0.5), torch.zeros(2)).sites[0].switch.thresholds == (-2.0, 0.5)
    assert trace(lambda x: x.clamp(max=3.0), torch.zeros(2)).sites[0].switch.thresholds == (3.0,)
    assert trace(lambda x: x.clamp_min(-3.0), torch.zeros(2)).sites[0].switch.thresholds == (-3.0,)


def test_a_window_of_two_equal_candidates_is_dead() -> None:
    program = trace(lambda x: F.max_pool2d(x, (1, 2)), torch.zeros(1, 1, 4))
    codes = code_of(program, torch.tensor([1.0, 1.0, 2.0, 3.0]).reshape(1, 1, 1, 4))
    assert codes.tolist() == [[2, 1]]
    single = trace(lambda x: F.max_pool2d(x, 1), torch.zeros(1, 1, 2))
    assert code_of(single, torch.ones(1, 1, 1, 2)).tolist() == [[0, 0]]  # one candidate always wins


def test_a_linear_layer_with_factors_is_still_the_network() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3, 4, generator=generator), torch.randn(4, generator=generator)

    def network(x: Tensor) -> Tensor:
        return torch.addmm(bias, x, weight, beta=0.5, alpha=2.0).relu()

    x = torch.randn(5, 3, generator=generator)
    expected = (0.5 * bias + 2 * x @ weight).relu()
    torch.testing.assert_close(trace(network, torch.zeros(3))(x).reshape(5, 4), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_a_fixed_mask_may_choose_between_the_input_and_a_constant(first: bool) -> None:
    mask, constant = torch.tensor([True, False, True]), torch.tensor([1.0, 2.0, 3.0])

    def network(x: Tensor) -> Tensor:
        return (torch.where(mask, x, constant) if first else torch.where(mask, constant, x)).relu()

    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(trace(network, torch.zeros(3))(x).reshape(4, 3), network(x))


def test_outputs_of_which_one_overflows_are_named() -> None:
    large = torch.tensor([1.0, 1e38, 1.0])
    with pytest.raises(UserError, match="returns NaN or infinity on random inputs; check its weights"):
        trace(lambda x: ((x * large) * large).relu(), torch.randn(3))


def test_linear_layers_over_several_rows_and_sums_of_two_paths_are_the_network() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(4, 5)
    weight = torch.randn(4, 4, generator=generator)
    networks = [
        (lambda x: layer(x).relu(), (3, 4)),  # three tokens, one layer
        (lambda x: torch.addmm(2 * x.view(1, 4), x.view(1, 4), weight).relu(), (4,)),
        (lambda x: torch.mm(x.view(1, 4), weight).relu(), (4,)),
        (lambda x: x.unsqueeze(1).unsqueeze(0).relu(), (4,)),
        (lambda x: x.unsqueeze(-1).relu(), (4,)),
    ]
    for network, shape in networks:
        program = trace(network, torch.randn(shape, generator=generator))
        x = torch.randn(6, *shape, generator=generator)
        with torch.no_grad():
            expected = torch.stack([network(row[None] if len(shape) > 1 else row[None]) for row in x])
            torch.testing.assert_close(program(x).flatten(1), expected.flatten(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_has_its_own_factors_or_none(affine: bool) -> None:
    norm = nn.BatchNorm1d(5, affine=affine).eval()
    with torch.no_grad():
        for number, tensor in enumerate((norm.running_mean, norm.running_var, norm.weight, norm.bias)):
            if tensor is not None:
                tensor.copy_(torch.linspace(0.5, 2.0 + number, 5))
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(trace(norm, torch.zeros(5))(x).reshape(4, 5), norm(x).detach(), rtol=1e-5, atol=1e-6)


def test_only_the_axis_of_one_input_is_no_part_of_its_shape() -> None:
    assert [_without_batch(shape) for shape in ((1, 4), (3, 4), (1,), (4,), (1, 1, 2))] == [
        (4,), (3, 4), (1,), (4,), (1, 2),
    ]  # fmt: skip
