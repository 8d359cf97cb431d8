"""BatchNorm's statistics for evaluation, estimated again on training images with dropout off.

Dropout changes the variance of what a later BatchNorm sees, so its running statistics, gathered with dropout on, do not
fit a network whose dropout is off ("variance shift", Li et al. 2019, *Understanding the disharmony between dropout and
batch normalization by variance shift*). Training itself is untouched: there BatchNorm uses each batch's own statistics.

A deviation from Marshall & Kirchner, who evaluate with the running statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vision_codes.resnet_vae import ResNetVAE


@torch.no_grad()
def recalibrate(model: ResNetVAE, batches: Iterable[Tensor], seed: int) -> None:
    """Replace BatchNorm's running statistics by their averages over ``batches``; leaves the model in eval mode.

    The network runs as in training (batch statistics, sampled codes) but with dropout off. ``seed`` is of the sampled
    codes; the caller's random state is left as it was.

    Args:
        batches: images [batch, channel, height, width] in [0, 1], on the model's device; they weigh equally.
    """
    norms = [module for module in model.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    momenta = [norm.momentum for norm in norms]
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative average
    with _own_random_state(next(model.parameters()).device, seed):
        for images in batches:
            model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


@contextmanager
def _own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
