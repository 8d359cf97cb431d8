"""Networks that the polytope tests share: every piecewise-linear building block at once, in one small model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Everything(nn.Module):
    """Convolution, BatchNorm, in-place and reused ReLU, functional ReLU6 and LeakyReLU, residual, concatenation, padded
    and ceil-mode max-pool, adaptive average pool, dropout, clamp, Hardtanh, abs, and a view with a baked batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.average = nn.AdaptiveAvgPool2d(2)
        self.dropout = nn.Dropout()
        self.hidden = nn.Linear(20, 12)
        self.readout = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.size(0)
        x = self.pool(self.relu(self.features(x) - 0.3))
        y = F.relu6(8 * x - 0.6) + x
        y += 1
        y = torch.cat([y, F.leaky_relu(x - 0.25, 0.1)], 1)[:, :5]
        y = F.max_pool2d(y, 2, stride=1)
        z = self.dropout(self.hidden(self.average(y).view(batch, -1)))
        z = self.relu(z - z.mean(1, keepdim=True)).clamp(min=0.05)
        return self.readout(F.hardtanh(z, 0.0, 0.3)).abs()


def everything(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = Everything()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return model.eval()


def perceptron(*widths: int, seed: int = 0, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for a, b in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(a, b, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
