"""A very deep, narrow network that carries a k-bit message through dropout at every layer [MK supplement].

Axis glossary: ``model`` networks side by side, ``sample`` messages, ``bit`` the k message bits, ``width`` m neurons,
``layer`` depth N.

``h_0 = tanh(E x)``, ``h_n = tanh(W_n dropout(h_{n-1}) + b_n)``, read out from ``dropout(h_N)``; x in {-1, 1}^k. The
code of layer n is what the next layer receives, ``dropout(h_n)``: after n + 1 erasures. The network is asked to give
the message back. Dropout keeps a neuron with probability 1-D and divides it by 1-D, which changes no information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from toy.safeguards import check_count, check_finite, check_memory, check_share, limited_threads


@dataclass(frozen=True, kw_only=True)
class DeepSetting:
    """Sizes and training of the deep networks."""

    n_bits: int = 8
    width: int = 24
    n_layers: int = 12
    dropout: float = 0.2
    steps: int = 3000
    batch: int = 128
    learning_rate: float = 2e-3

    def check(self) -> None:
        """Raises `UserError` for a setting outside its range."""
        check_count(self.n_bits, "k")
        check_count(self.width, "m")
        check_count(self.n_layers, "layers")
        check_count(self.steps, "steps", 0)
        check_count(self.batch, "batch")
        check_share(self.dropout, "D", open_top=True)
        if self.n_bits > self.width:
            raise UserError(f"expected k <= m; got k={self.n_bits} bits, m={self.width} neurons; widen the network")


@dataclass
class DeepNetworks:
    """Parameters of several networks, stacked."""

    setting: DeepSetting
    encoder: Float[Tensor, "model bit width"]
    weights: Float[Tensor, "layer model width width"]
    biases: Float[Tensor, "layer model 1 width"]
    readout: Float[Tensor, "model width bit"]

    def parameters(self) -> list[Tensor]:
        return [self.encoder, self.weights, self.biases, self.readout]

    def codes(
        self,
        messages: Float[Tensor, "model sample bit"],
        dropout: Float[Tensor, "model 1 1"],
        generator: torch.Generator,
    ) -> list[Float[Tensor, "model sample width"]]:
        """What each layer hands on: ``dropout(h_n)`` for n = 0..N."""
        hidden = torch.tanh(torch.bmm(messages, self.encoder))
        handed = [_drop(hidden, dropout, generator)]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = torch.tanh(torch.baddbmm(bias, handed[-1], weight))
            handed.append(_drop(hidden, dropout, generator))
        return handed


def _drop(hidden: Tensor, dropout: Tensor, generator: torch.Generator) -> Tensor:
    kept = torch.rand(hidden.shape, generator=generator) >= dropout
    return hidden * kept / (1 - dropout)


def check_fits(setting: DeepSetting, n_networks: int) -> float:
    """Predicted peak memory in bytes of that many networks; refuses, before anything starts, what does not fit."""
    floats = n_networks * setting.width * (setting.n_layers + 1) * (4 * setting.width + 6 * setting.batch)
    return check_memory(4 * floats, f"{n_networks} networks of width {setting.width} and depth {setting.n_layers}")


def initial_networks(setting: DeepSetting, seeds: Sequence[int]) -> DeepNetworks:
    """Orthogonal weights (a tanh network of this depth is untrainable from Gaussian ones), each seed on its own."""
    parts: list[list[Tensor]] = [[], [], []]
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)

        def orthogonal(rows: int, columns: int, generator: torch.Generator = generator) -> Tensor:
            return torch.nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)

        parts[0].append(orthogonal(setting.n_bits, setting.width))
        parts[1].append(torch.stack([orthogonal(setting.width, setting.width) for _ in range(setting.n_layers)]))
        parts[2].append(orthogonal(setting.width, setting.n_bits))
    biases = torch.zeros(setting.n_layers, len(parts[0]), 1, setting.width)
    return DeepNetworks(setting, torch.stack(parts[0]), torch.stack(parts[1], dim=1), biases, torch.stack(parts[2]))


def train(
    setting: DeepSetting, seeds: Sequence[int], with_dropout: Sequence[bool], *, seed: int = 0
) -> tuple[DeepNetworks, DeepNetworks]:
    """Train one network per entry, all at once, on one thread; returns (untrained, trained).

    The dropout share is ramped up over the first half: at full strength from the start, no gradient finds its way
    through that many erasures.

    Args:
        setting: sizes and training.
        seeds: of the initialisations, one per network.
        with_dropout: whether that network meets dropout in training.
        seed: of messages and masks.

    Raises:
        UserError: a setting outside its range; more memory than there is; weights no longer finite, with the seed.
    """
    setting.check()
    check_fits(setting, len(seeds))
    with limited_threads(1):  # the orthogonal start is a QR decomposition, whose last digits depend on the threads
        untrained, networks = initial_networks(setting, seeds), initial_networks(setting, seeds)
    for parameter in networks.parameters():
        parameter.requires_grad_()
    optimiser = torch.optim.AdamW(networks.parameters(), lr=setting.learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, setting.steps))
    generator = torch.Generator().manual_seed(seed)
    share = setting.dropout * torch.tensor(with_dropout, dtype=torch.float32)[:, None, None]
    with limited_threads(1):
        for step in range(setting.steps):
            ramp = min(1.0, 2 * step / setting.steps)
            loss = _loss(networks, share * ramp, generator)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    for parameter in networks.parameters():
        parameter.requires_grad_(False)
    check_finite(networks.encoder, seeds, setting.steps)
    return untrained, networks


def messages_of(
    n_models: int, n_samples: int, n_bits: int, generator: torch.Generator
) -> Float[Tensor, "model sample bit"]:
    """Uniform messages as -1/1."""
    return torch.randint(2, (n_models, n_samples, n_bits), generator=generator).float() * 2 - 1


def _loss(networks: DeepNetworks, dropout: Tensor, generator: torch.Generator) -> Tensor:
    """Mean cross-entropy of the message bits, summed over networks (which share nothing)."""
    n_models, setting = len(networks.encoder), networks.setting
    messages = messages_of(n_models, setting.batch, setting.n_bits, generator)
    logits = torch.bmm(networks.codes(messages, dropout, generator)[-1], networks.readout)
    return torch.nn.functional.softplus(-messages * logits).mean((1, 2)).sum()
