"""The four controls of the polytope lens: the same architecture without what training put into it.

An untrained network without biases is homogeneous, so along rays from the origin it has exactly zero boundaries: "no
peak in untrained nets" may be a bias effect only. Hence four controls, not one.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from eval.errors import known_name

Control = Literal["init", "init with random biases", "shuffled weights", "recalibrated BatchNorm"]
CONTROLS: tuple[Control, ...] = ("init", "init with random biases", "shuffled weights", "recalibrated BatchNorm")


def control(module: nn.Module, kind: str, inputs: Tensor, seed: int = 0) -> nn.Module:
    """A control network in eval mode.

    Args:
        module: the trained network (left alone).
        kind: `init` (every layer's own initialisation), `init with random biases` (every bias, also BatchNorm's,
            drawn from a normal with deviation .5), `shuffled weights` (the entries of each trained weight permuted),
            `recalibrated BatchNorm` (`shuffled weights`, with running statistics measured again on `inputs`, so that
            signals keep their scale through depth).
        inputs: ``[image ...]`` for the recalibration.
        seed: of every draw.

    Raises `UserError` for an unknown kind, with the nearest name.
    """
    known_name(kind, CONTROLS, "control")
    torch.manual_seed(seed)
    out = copy.deepcopy(module)
    if kind.startswith("init"):
        for part in out.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
        if kind.endswith("biases"):
            _random_biases(out)
    else:
        _shuffle(out)
        if kind == "recalibrated BatchNorm":
            _recalibrate(out, inputs)
    return out.eval()


def _random_biases(module: nn.Module) -> None:
    for part in module.modules():
        bias = getattr(part, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.normal_(bias, std=0.5)


def _shuffle(module: nn.Module) -> None:
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(weight.flatten()[torch.randperm(weight.numel())].reshape(weight.shape))


def _recalibrate(module: nn.Module, inputs: Tensor) -> None:
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average: equal weight for every batch
        norm.train()
    with torch.no_grad():
        for start in range(0, len(inputs), 16):
            module(inputs[start : start + 16])
