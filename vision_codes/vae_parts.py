"""The parts of a ResNet-VAE: a ReLU with its own dropout, residual blocks, encoder and decoder.

Axis glossary: ``batch``, ``channel``, ``height``, ``width``, ``latent``, ``feature`` what the dense layers see.
"""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vision_codes.vae_architecture import Architecture


class Rectifier(nn.Module):
    """One ReLU with its own dropout behind it; the site is the output of ``relu``, before anything is dropped."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.relu(x))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut [He et al. 2016], with two ReLU sites."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.rectifier1 = Rectifier(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.rectifier2 = Rectifier(dropout)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.rectifier1(self.bn1(self.conv1(x)))
        return self.rectifier2(self.bn2(self.conv2(out)) + shortcut)


class Encoder(nn.Module):
    """ResNet-18 without its classifier: 17 ReLU sites; its ``width`` numbers go to the dense layers."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, dropout = architecture.base_width, architecture.dropout
        self.conv1 = nn.Conv2d(architecture.channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.rectifier = Rectifier(dropout)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if architecture.stem == "pool" else nn.Identity()
        inputs = width
        for stage in range(4):
            outputs, stride = width * 2**stage, 1 if stage == 0 else 2
            blocks = [BasicBlock(inputs, outputs, stride, dropout), BasicBlock(outputs, outputs, 1, dropout)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.pools = architecture.pooling == "average"
        shrinks = 32 if architecture.stem == "pool" else 16
        positions = 1 if self.pools else math.ceil(architecture.image_size / shrinks) ** 2
        self.width = inputs * positions
        self.apply(_initialise_as_torchvision)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch feature"]:
        x = self.maxpool(self.rectifier(self.bn1(self.conv1(x))))
        for stage in range(4):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return x.mean((2, 3)) if self.pools else x.flatten(1)


def _initialise_as_torchvision(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def open_relus(*parts: nn.Module, bias: float) -> None:
    """Shift what every ReLU sees by ``bias`` through the BatchNorm before it.

    Not where an identity shortcut is added to it: what comes out of the last ReLU is positive already, and a mean that
    grew from block to block would only feed dropout's noise, whose variance goes with the mean square.
    """
    for module in (module for part in parts for module in part.modules()):
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.constant_(module.bias, bias)
    blocks = [module for part in parts for module in part.modules() if isinstance(module, BasicBlock)]
    for block in blocks:
        added: Any = block.bn2 if block.downsample is None else block.downsample[1]
        nn.init.zeros_(added.bias)


def dense(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """A dense layer with BatchNorm, ReLU and dropout."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, momentum=0.01), Rectifier(dropout))


class Decoder(nn.Module):
    """Latent code to image: two dense layers, 4x4, three transposed convolutions (9, 19, 39 px), sigmoid, resize."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        wide = architecture.fully_connected
        dropout = architecture.dropout if architecture.dropout_at == "every-relu" else 0.0
        self.image_size, self.first = architecture.image_size, architecture.decoder_width
        second, third = self.first // 2, self.first // 8
        self.fc4 = dense(architecture.latent, wide, dropout)
        self.fc5 = dense(wide, self.first * 4 * 4, dropout)
        self.up6 = self._up(self.first, second, Rectifier(dropout))
        self.up7 = self._up(second, third, Rectifier(dropout))
        self.up8 = self._up(third, architecture.channels, nn.Sigmoid())
        if architecture.output_norm == "none":
            self.up8[1] = nn.Identity()

    @staticmethod
    def _up(inputs: int, outputs: int, nonlinearity: nn.Module) -> nn.Sequential:
        convolution = nn.ConvTranspose2d(inputs, outputs, 3, stride=2)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs, momentum=0.01), nonlinearity)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channel height width"]:
        x = self.fc5(self.fc4(z)).view(-1, self.first, 4, 4)
        x = self.up8(self.up7(self.up6(x)))
        return functional.interpolate(x, size=self.image_size, mode="bilinear", align_corners=False)
