"""The network that is unwrapped: four linear layers with ReLU between them.

Axis glossary: ``image``, ``pixel``, ``unit`` of a hidden layer, ``digit``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from vision_codes.lenses.unwrap.digits import Digits


class Network(torch.nn.Module):
    """Four linear layers, ReLU between them."""

    def __init__(self, n_pixels: int, hidden: int, n_classes: int = 10) -> None:
        super().__init__()
        sizes = [n_pixels, hidden, hidden, hidden, n_classes]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))

    def hidden(self, x: Float[Tensor, "image pixel"]) -> list[Float[Tensor, "image unit"]]:
        """h1, h2, h3."""
        out = []
        for layer in list(self.layers)[:-1]:
            x = layer(x).relu()
            out.append(x)
        return out

    def read_out(self, h3: Float[Tensor, "image unit"]) -> Float[Tensor, "image digit"]:
        return self.layers[-1](h3)


def fresh_network(digits: Digits, hidden: int, seed: int) -> Network:
    """The network as training under this seed starts from it."""
    torch.manual_seed(seed)
    return Network(digits.train.shape[1], hidden, int(digits.train_labels.max()) + 1)


def train_network(digits: Digits, hidden: int, epochs: int, seed: int) -> Network:
    """AdamW with linear decay; each batch is shifted by up to two pixels."""
    network = fresh_network(digits, hidden, seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.1)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - epoch / epochs)
        for batch in torch.randperm(len(digits.train), generator=generator).split(128):
            shift = torch.randint(-2, 3, (2,), generator=generator).tolist()
            images = torch.roll(digits.train[batch].view(-1, digits.side, digits.side), shift, (1, 2)).flatten(1)
            loss = functional.cross_entropy(network.read_out(network.hidden(images)[-1]), digits.train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval().requires_grad_(False)


def accuracy(network: Network, h3: Float[Tensor, "image unit"], labels: Int[Tensor, " image"]) -> float:
    """Share of images classified right."""
    return float((network.read_out(h3).argmax(1) == labels).float().mean())
