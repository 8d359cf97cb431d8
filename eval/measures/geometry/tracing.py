"""`trace`: run a PyTorch callable once and write down what it did, refusing by name what has no spline code.

Why not `torch.fx.symbolic_trace`: it sees Python, so a data-dependent shape, a functional in-place ReLU or a compiled
block needs a case each. `make_fx` over `functionalize` sees the aten operations that were executed, with in-place
writes already made functional, which leaves one short table of operations to judge (`operations`), after a few are
written as what they are (`rewrites`). The list of steps is then compared with the callable itself on fresh points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx

from eval.errors import UserError
from eval.measures.geometry.graph_reader import GraphReader
from eval.measures.geometry.piecewise_linear import Program
from eval.measures.geometry.rewrites import REWRITES

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest difference between the steps and the network, as a share of the largest output; .05 in half precision."""
ROUNDING = 10.0
"""A network that repeats itself may be missed by this times what a change of its input by one rounding makes of it."""
CHECK_SCALES = (1.0, 3.0)
"""The two comparisons: fresh points with the example's spread, and with three times that."""


def trace(function: Callable[[Tensor], Tensor], example: Tensor, name: str = "") -> Program:
    """Which affine steps and switches does this network execute?

    Args:
        function: an `nn.Module` in eval mode, or any callable ``[batch ...] -> [batch ...]``. `torch.compile`d and
            data-parallel modules are unwrapped, exported programs opened; scripted ones are read as one layer.
        example: one input *without* its batch axis; its shape, dtype and device are those of the program.
        name: for messages; the class name when empty.

    Returns:
        The `Program`, which gave the network's own output on fresh random points, twice; in half precision its codes
        are noisy near zero (the caller reports the share, `near_zero`).

    Raises:
        UserError: train-mode BatchNorm or dropout, random numbers, non-finite weights (named), an operation that is
            neither affine nor piecewise linear (named, with its module), a product of two input-dependent tensors
            (attention, squeeze-and-excitation, SwiGLU), data-dependent control flow, an output that is no tensor, a
            network whose values change from call to call.
    """
    function = _unwrap(function)
    label = name or (type(function).__name__ if isinstance(function, nn.Module) else getattr(function, "__name__", "f"))
    if isinstance(function, nn.Module):
        _require_eval_mode(function)
        _require_finite_weights(function, label)

    def sample(x: Tensor) -> Tensor:
        out = function(x.unsqueeze(0))
        if not isinstance(out, Tensor):
            raise UserError(f"expected {label} to return one tensor; got {type(out).__name__}; wrap it to pick one")
        return out.squeeze(0)

    spans: list[tuple[str, int, int]] = []
    try:
        with torch.no_grad(), _without_compiler(), _module_spans(function, spans):
            graph = make_fx(torch.func.functionalize(sample), decomposition_table=REWRITES)(example)
    except UserError:
        raise
    except RuntimeError as error:
        if "tracing" in str(error) or "data-dependent" in str(error):
            raise UserError(
                f"{label} branches on the values of its input, which has no fixed list of steps; "
                "trace the part without the branch"
            ) from error
        raise
    program = GraphReader(graph, spans, label).program(tuple(example.shape))
    with torch.no_grad(), _without_compiler():
        _compare(program, sample, example)
    return program


def _unwrap(function: Any) -> Any:
    """The module behind `torch.compile`, data parallelism and `torch.export`."""
    if isinstance(function, torch.export.ExportedProgram):
        return function.module()
    for inner in ("_orig_mod", "_torchdynamo_orig_callable"):
        if (behind := getattr(function, inner, None)) is not None:
            return _unwrap(behind)
    if isinstance(function, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return _unwrap(function.module)
    return function


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Compiled parts run as the Python they were made from."""
    import torch._dynamo.config as dynamo  # heavy, and only of use here

    with torch.compiler.set_stance("force_eager"), dynamo.patch(error_on_nested_fx_trace=False):
        yield


def _compare(program: Program, sample: Callable[[Tensor], Tensor], example: Tensor) -> None:
    """Does the list of steps compute what the network computes, on points that the trace has not seen?"""
    generator = torch.Generator().manual_seed(0)
    spread = float(example.float().std(correction=0)) if example.numel() > 1 else 0.0
    tolerance = TOLERANCES.get(example.dtype, 0.05) if example.device.type == "cpu" else 0.05
    for scale in CHECK_SCALES:
        noise = torch.randn((2, *example.shape), generator=generator, dtype=torch.float64)
        points = (float(example.float().mean()) + scale * (spread or 1.0) * noise).to(example)
        truth = torch.stack([sample(point) for point in points])
        if not torch.isfinite(truth).all():
            raise UserError(f"{program.name} returns NaN or infinity on random inputs; check its weights")
        found = program(points).reshape(truth.shape)
        largest = float(truth.abs().max())
        off = float((found - truth).abs().max())
        if not off <= tolerance * largest + 1e-30 and not off <= ROUNDING * _moved(sample, points, truth, generator):
            raise UserError(
                f"expected {program.name} to be a fixed function of its input; its traced steps are off by {off:.2g} "
                f"of {largest:.2g} on fresh points: something else changes its values (random numbers of NumPy or "
                "Python, a counter, a cache); trace a part that is fixed"
            )


def _moved(sample: Callable[[Tensor], Tensor], points: Tensor, truth: Tensor, generator: torch.Generator) -> float:
    """How far a rounding of the input moves the outputs; 0 for what does not repeat itself, which no rounding excuses.

    Weights in random order can make a network so steep that its own float32 rounding shows in the fourth digit.
    """
    if not torch.equal(torch.stack([sample(point) for point in points]), truth):
        return 0.0
    noise = torch.randn(points.shape, generator=generator, dtype=torch.float64).to(points)
    near = points * (1 + torch.finfo(points.dtype).eps * noise)
    return float((torch.stack([sample(point) for point in near]) - truth).abs().max())


def _require_eval_mode(module: nn.Module) -> None:
    for name, part in module.named_modules():
        kind = type(part).__name__
        if not part.training:
            continue
        normalises = isinstance(part, nn.modules.batchnorm._BatchNorm)
        drops = isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0
        if normalises or drops:
            raise UserError(f"expected {kind} {name!r} in eval mode; got train mode; call model.eval() first")


def _require_finite_weights(module: nn.Module, label: str) -> None:
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(f"expected finite weights; got NaN or infinity in {name!r} of {label}; mend them")


@contextmanager
def _module_spans(function: Any, spans: list[tuple[str, int, int]]) -> Iterator[None]:
    """Which graph nodes each module call made: (path, first node, one past the last)."""
    handles, starts = [], []

    def count() -> int:
        mode = get_proxy_mode()
        return 0 if mode is None else len(mode.tracer.graph.nodes)

    def enter(*_: Any) -> None:
        starts.append(count())

    def leave(path: str) -> Callable[..., None]:
        return lambda *_: spans.append((path, starts.pop(), count()))

    if isinstance(function, nn.Module):
        for path, part in function.named_modules():
            if not isinstance(part, torch.jit.ScriptModule):  # which takes no hooks
                handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave(path))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
