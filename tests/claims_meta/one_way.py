"""Layers of which the statements on the one-way code are untrue, or true, in place of a trained network's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from eval.claims import Claim
from tests.claims_meta.rows import Material, Row
from toy.configs.one_way import OneWayOptions
from toy.one_way import probes, study
from toy.one_way.claims import judge

OPTIONS = OneWayOptions(prime_sets=("11",), seeds=4, width=32, layers=1, steps=1, probe_steps=(5, 80), held_out=0.15)
Layers = Callable[[Tensor, int], list[Tensor]]
"""Codes of every layer ``[triple width]``, of the inputs (groups, then x, one-hot) and a seed."""


def judged(trained: Layers, before: Layers) -> list[Claim]:
    """The study with these layers in place of the network's, and these in place of the untrained one's."""

    def layer_codes(network: tuple[Layers, int], inputs: Tensor) -> list[Tensor]:
        return network[0](inputs, network[1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "train_network", lambda problem, *, seed, **_: ((trained, seed), 1.0))
        patch.setattr(study, "untrained_network", lambda problem, *, seed, **_: (before, seed))
        patch.setattr(study, "layer_codes", layer_codes)
        return judge(study.measure(OPTIONS))


def random_network(first_seed: int) -> Layers:
    """Layers of a network that nothing was trained into."""

    def layers(inputs: Tensor, seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(first_seed + seed)
        network = probes.perceptron(inputs.shape[1], 11, hidden=32, layers=1, generator=generator)
        return probes.layer_codes(network, inputs)

    return layers


def x_itself(inputs: Tensor, seed: int) -> Tensor:
    return inputs[:, -11:] + 0.02 * noise(inputs, seed)


def noise(inputs: Tensor, seed: int) -> Tensor:
    return torch.randn(len(inputs), 11, generator=torch.Generator().manual_seed(seed))


def readable(inputs: Tensor, seed: int) -> list[Tensor]:
    """x in the first layer and in the last."""
    return [x_itself(inputs, seed), x_itself(inputs, seed + 1)]


def fading(inputs: Tensor, seed: int) -> list[Tensor]:
    """x in the first layer, nothing in the last."""
    return [x_itself(inputs, seed), noise(inputs, seed + 1)]


def among_triples(layers: Layers) -> Layers:
    """The codes of other triples."""

    def made(inputs: Tensor, seed: int) -> list[Tensor]:
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed + 7))
        return [codes[order] for codes in layers(inputs, seed)]

    return made


def untrained(material: Material) -> list[Claim]:
    return judged(random_network(100), random_network(200))


def shuffled(material: Material) -> list[Claim]:
    return judged(among_triples(fading), among_triples(readable))


def planted(material: Material) -> list[Claim]:
    """The last layer hides x; and it shows it, where the untrained one does not."""
    return [*judged(fading, readable), *judged(readable, fading)]


ROW = Row({"untrained": untrained, "shuffled": shuffled, "planted": planted})
