"""The four controls of the polytope lens: the same architecture without what training put into it.

An untrained network without biases is homogeneous, so along rays from the origin it has exactly zero boundaries: "no
peak in untrained nets" may be a bias effect only. Hence four controls, not one. A control in which nothing of the input
arrives at the end (its last codes are all alike) says nothing about training: it is dead, and not used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from eval.errors import known_name
from eval.measures.geometry.piecewise_linear import Program, site_symbols, walk
from vision_codes.architectures import in_eval_mode

Control = Literal["init", "init with random biases", "shuffled weights", "recalibrated BatchNorm"]
CONTROLS: tuple[Control, ...] = ("init", "init with random biases", "shuffled weights", "recalibrated BatchNorm")
BIAS_SHARE = 0.5
"""Deviation of a random bias, as a share of the deviation of the signal that it is added to."""


def control(
    module: nn.Module, kind: str, inputs: Tensor, seed: int = 0, build: Callable[[int], nn.Module] | None = None
) -> nn.Module:
    """A control network in eval mode.

    Args:
        module: the trained network (left alone).
        kind: `init` (what the architecture's own constructor makes under the seed), `init with random biases` (the same
            with every bias, also BatchNorm's, drawn from a normal whose deviation is half that of the signal there),
            `shuffled weights` (the entries of each trained weight permuted), `recalibrated BatchNorm` (`shuffled
            weights`, with running statistics measured again on `inputs`, so that signals keep their scale).
        inputs: ``[image ...]`` on which signals are measured.
        seed: of every draw.
        build: the constructor, ``seed -> network`` (`VisionModel.build`); where there is none every layer is reset by
            its own `reset_parameters`, which knows no rule of the architecture as a whole.

    Raises `UserError` for an unknown kind, with the nearest name.
    """
    known_name(kind, CONTROLS, "control")
    if kind.startswith("init"):
        out = build(seed) if build is not None else _reset(copy.deepcopy(module), seed)
        torch.manual_seed(seed)
        if kind.endswith("biases"):
            _random_biases(out.eval(), inputs)
    else:
        torch.manual_seed(seed)
        out = copy.deepcopy(module)
        _shuffle(out)
        if kind == "recalibrated BatchNorm":
            _recalibrate(out, inputs)
    return in_eval_mode(out)


def cannot_start_again(module: nn.Module, build: Callable[[int], nn.Module] | None) -> str | None:
    """Why there is no untrained network: no constructor is known, and no layer says how it starts. None: there is."""
    if build is not None or any(callable(getattr(part, "reset_parameters", None)) for part in module.modules()):
        return None
    return "dead: neither a constructor nor a layer with an initialisation of its own is known, so it is not used"


def why_dead(program: Program, inputs: Tensor, batch_size: int = 8) -> str | None:
    """Why a control says nothing: the codes of its last nonlinear site are the same for all inputs. None: it lives."""
    if not program.sites or len(inputs) < 2:
        return None
    last, first = program.sites[-1].name, None
    with torch.no_grad():
        for start in range(0, len(inputs), batch_size):
            z = next((s, z) for s, z in walk(program, inputs[start : start + batch_size]) if s.name == last)
            codes = site_symbols(*z)
            first = codes[:1] if first is None else first
            if bool((codes != first).any()):
                return None
    return f"dead: all {len(inputs)} inputs have the same codes at {program.sites[-1].site}, so it is not used"


def _reset(module: nn.Module, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
    return module


def _random_biases(module: nn.Module, inputs: Tensor) -> None:
    """Every bias drawn anew, layer by layer in forward order: each signal already holds the biases before it."""
    done: set[nn.Module] = set()

    def draw(part: nn.Module, _: tuple, out: Tensor) -> Tensor:
        bias = part.bias
        assert isinstance(bias, nn.Parameter)
        if part in done:
            return out
        done.add(part)
        shape = [1, -1] + [1] * (out.dim() - 2) if out.dim() > 2 else [-1]
        signal = out - bias.reshape(shape)
        axes = [axis for axis in range(out.dim()) if axis != (1 if out.dim() > 2 else out.dim() - 1)]
        deviation = float(signal.var(axes, correction=0).mean().sqrt())
        bias.copy_(BIAS_SHARE * deviation * torch.randn(bias.shape))
        return signal + bias.reshape(shape)

    handles = [
        part.register_forward_hook(draw)
        for part in module.modules()
        if isinstance(getattr(part, "bias", None), nn.Parameter) and not list(part.children())
    ]
    try:
        with torch.no_grad():
            module(inputs[:32])
    finally:
        for handle in handles:
            handle.remove()


def _shuffle(module: nn.Module) -> None:
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(weight.flatten()[torch.randperm(weight.numel())].reshape(weight.shape))


def _recalibrate(module: nn.Module, inputs: Tensor) -> None:
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average: equal weight for every batch
        norm.train()
    with torch.no_grad():
        for start in range(0, len(inputs), 16):
            module(inputs[start : start + 16])
