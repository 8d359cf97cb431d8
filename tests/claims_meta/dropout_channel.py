"""Networks of which the statements on the dropout channel are untrue, or true, in place of trained ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from eval.claims import Claim
from eval.scores import Score
from tests.claims_meta.rows import Material, Row
from toy.configs.dropout_channel import DropoutChannelOptions
from toy.dropout_channel import study
from toy.dropout_channel.claims import judge
from toy.dropout_channel.network import DeepNetworks, DeepSetting, initial_networks
from toy.dropout_channel.results import SelfTest

OPTIONS = DropoutChannelOptions(
    bits=3, width=24, layers=4, dropout=0.3, seeds=4, samples=1500, decoder_steps=120, depths=2
)
SELF_TESTS = (SelfTest("decoder", Score(2.0), 0.01, None, 0.0, 3.0, 3.0, 0.01),)
"""Not counted, and not what is planted here."""
SHARP = 6.0


def with_copies(setting: DeepSetting, copies: int, n_models: int) -> DeepNetworks:
    """Each bit on `copies` neurons, each of which hands on the sign of all copies' sum; other neurons are silent."""
    k, m = setting.n_bits, setting.width
    owner = torch.arange(copies * k) % k
    encoder, weight = torch.zeros(k, m), torch.zeros(m, m)
    encoder[owner, torch.arange(copies * k)] = SHARP
    weight[: copies * k, : copies * k] = SHARP * (owner[:, None] == owner[None]).float()
    return DeepNetworks(
        setting,
        encoder.expand(n_models, -1, -1),
        weight.expand(setting.n_layers, n_models, -1, -1),
        torch.zeros(setting.n_layers, n_models, 1, m),
        encoder.T.expand(n_models, -1, -1),
    )


def joined(first: DeepNetworks, second: DeepNetworks) -> DeepNetworks:
    """Two groups of networks side by side."""
    parts = zip(first.parameters(), second.parameters(), (0, 1, 1, 0), strict=True)
    return DeepNetworks(first.setting, *(torch.cat([a, b], axis) for a, b, axis in parts))


def judged(networks: tuple[DeepNetworks, DeepNetworks], *, shuffle: bool = False) -> list[Claim]:
    """The study with these (untrained, trained) networks; shuffle: messages that are not those of the codes."""
    usual = study._information

    def information(config: DropoutChannelOptions, messages: torch.Tensor, codes: torch.Tensor, seed: int):
        order = torch.randperm(len(messages), generator=torch.Generator().manual_seed(seed))
        return usual(config, messages[order] if shuffle else messages, codes, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "train", lambda *_, **__: networks)
        patch.setattr(study, "measure_self_tests", lambda *_: SELF_TESTS)
        patch.setattr(study, "_information", information)
        return judge(study.measure(OPTIONS))


def fresh(seeds: Sequence[int]) -> DeepNetworks:
    return initial_networks(study.setting_of(OPTIONS), seeds)


def untrained(material: Material) -> list[Claim]:
    return judged((fresh(range(8)), fresh(range(8, 16))))


def planted_networks() -> tuple[DeepNetworks, DeepNetworks]:
    """Eight copies of a bit where dropout was met in training, one where it was not, one before training."""
    setting = study.setting_of(OPTIONS)
    single = with_copies(setting, 1, 4)
    return joined(single, single), joined(with_copies(setting, 8, 4), single)


def shuffled(material: Material) -> list[Claim]:
    return judged(planted_networks(), shuffle=True)


def planted(material: Material) -> list[Claim]:
    return judged(planted_networks())


ROW = Row({"untrained": untrained, "shuffled": shuffled, "planted": planted})
