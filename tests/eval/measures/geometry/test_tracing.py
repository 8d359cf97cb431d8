"""The traced network is the network, every switch is found, and what has no code is refused by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eval.errors import UserError
from eval.measures.codes.program_codes import code_map, site_codes, soft_codes
from eval.measures.geometry.piecewise_linear import code_of, walk
from eval.measures.geometry.tracing import trace
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


class _Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), r"got sigmoid at '1' of Sequential"),
        (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), r"got LayerNorm at '1'"),
        (nn.Sequential(nn.Linear(4, 4), nn.PReLU()), r"got PReLU at '1'"),
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
        trace(model.eval() if isinstance(model, nn.Module) else model, torch.randn(4))


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
