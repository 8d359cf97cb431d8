"""Erasures have the right rate, networks learn, seeds repeat, bad sizes are one line."""

import pytest
import torch

from eval.errors import UserError
from toy.configs.dropout_channel import DropoutChannelOptions
from toy.dropout_channel import study
from toy.dropout_channel.network import DeepSetting, messages_of, train


def test_codes_are_erased_at_the_dropout_share_and_depth_is_right() -> None:
    untrained, _ = train(DeepSetting(n_bits=3, width=16, n_layers=2, steps=0), [0], [True])
    generator = torch.Generator().manual_seed(0)
    codes = untrained.codes(messages_of(1, 2000, 3, generator), torch.full((1, 1, 1), 0.3), generator)
    assert len(codes) == 3
    assert float((codes[1] == 0).float().mean()) == pytest.approx(0.3, abs=0.02)


def test_training_carries_the_message_and_dropout_training_survives_dropout() -> None:
    setting = DeepSetting(n_bits=3, width=16, n_layers=3, dropout=0.3, steps=300, batch=64, learning_rate=1e-2)
    _, trained = train(setting, [0, 0], [True, False])

    def accuracy(dropout: float) -> list[float]:
        generator = torch.Generator().manual_seed(1)
        messages = messages_of(2, 2000, 3, generator)
        code = trained.codes(messages, torch.full((2, 1, 1), dropout), generator)[-1]
        return ((torch.bmm(code, trained.readout) * messages) > 0).float().mean((1, 2)).tolist()

    assert accuracy(0.0)[1] > 0.99
    with_dropout, without = accuracy(0.3)
    assert with_dropout > without + 0.02


def test_networks_repeat_for_a_seed_and_start_differently_for_another() -> None:
    setting = DeepSetting(n_bits=2, width=4, n_layers=1, steps=3)
    start, one = train(setting, [0, 1], [True, True])
    _, two = train(setting, [0, 1], [True, True])
    assert torch.equal(one.weights, two.weights)
    assert not torch.equal(start.weights[:, 0], start.weights[:, 1])
    assert not torch.equal(start.encoder, one.encoder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dropout": 1.0}, r"expected D in \[0, 1\); got 1"),
        ({"n_bits": 30}, "expected k <= m; got k=30 bits, m=24 neurons"),
        ({"width": 0}, "expected m a whole number >= 1; got 0"),
    ],
)
def test_bad_sizes_are_one_line(change: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        train(DeepSetting(**change), [0], [True])


def test_each_curve_is_measured_on_the_networks_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks 0 and 1 were trained with dropout, 2 and 3 without; the untrained ones have codes of their own."""

    class Coded:
        encoder = torch.zeros(4, 1)

        def __init__(self, offset: float) -> None:
            self.offset = offset

        def codes(self, messages: torch.Tensor, dropout: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return self.offset + torch.arange(4.0)[None, :, None, None] + torch.zeros(3, 4, len(messages[0]), 1)

    monkeypatch.setattr(study, "_information", lambda config, messages, codes, seed: (float(codes.mean()), 0.0))
    config, networks = DropoutChannelOptions(seeds=2, samples=100), (Coded(10.0), Coded(20.0))
    found = {name: study.measure_curve(config, name, *networks, (0, 2), 0) for name in study.CONDITIONS}  # type: ignore[arg-type]
    assert {name: curve.by_seed for name, curve in found.items()} == {
        "with dropout": ((20, 20), (21, 21)), "without dropout": ((22, 22), (23, 23)),
        "untrained": ((10, 10), (11, 11)),
    }  # fmt: skip
    assert found["untrained"].mean == (10.5, 10.5)
