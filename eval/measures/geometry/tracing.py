"""`trace`: run a PyTorch callable once and write down what it did, refusing by name what has no spline code.

Why not `torch.fx.symbolic_trace`: it sees Python, so a data-dependent shape, a functional in-place ReLU or a compiled
block needs a case each. `make_fx` over `functionalize` sees the aten operations that were executed, with in-place
writes already made functional, which leaves one short table of operations to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx

from eval.errors import UserError
from eval.measures.geometry.kinks import pair, recognise_switch, window_places
from eval.measures.geometry.piecewise_linear import Program, Ref, Step, Window

AFFINE = set(
    "add sub rsub neg cat stack view _unsafe_view reshape permute transpose t unsqueeze squeeze expand select slice "
    "clone alias detach constant_pad_nd mean sum flatten _to_copy avg_pool2d avg_pool1d _adaptive_avg_pool2d "
    "upsample_nearest2d upsample_bilinear2d split split_with_sizes unbind repeat index_select flip roll pixel_shuffle "
    "contiguous lift_fresh positive diagonal narrow unfold im2col masked_fill where reflection_pad2d "
    "replication_pad2d movedim unflatten as_strided cumsum channel_shuffle native_channel_shuffle".split()
)
PRODUCTS = set("mul div mm addmm bmm matmul linear convolution baddbmm conv2d conv1d mv addmv dot einsum lerp".split())
SMOOTH = ("gelu", "silu")
REFUSALS = {
    "_softmax": "softmax (attention)",
    "native_layer_norm": "LayerNorm",
    "native_group_norm": "GroupNorm",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "hardswish": "Hardswish (quadratic)",
    "_prelu_kernel": "PReLU",
    "softplus": "softplus",
    "elu": "ELU",
    "pow": "power",
    "native_dropout": "dropout in train mode",
    "bernoulli": "random numbers",
    "rand_like": "random numbers",
}


def trace(function: Callable[[Tensor], Tensor], example: Tensor, name: str = "") -> Program:
    """Which affine steps and switches does this network execute?

    Args:
        function: an `nn.Module` in eval mode, or any callable ``[batch ...] -> [batch ...]``.
        example: one input *without* its batch axis; its shape, dtype and device are those of the program.
        name: for messages; the class name when empty.

    Returns:
        The `Program`; in half precision its codes are noisy near zero (the caller reports the share, `near_zero`).

    Raises:
        UserError: train-mode BatchNorm or dropout (named), an operation that is neither affine nor piecewise linear
            (named, with its module), a product of two input-dependent tensors (attention, squeeze-and-excitation,
            SwiGLU), data-dependent control flow, an output that is no tensor.
    """
    label = name or (type(function).__name__ if isinstance(function, nn.Module) else getattr(function, "__name__", "f"))
    if isinstance(function, nn.Module):
        _require_eval_mode(function)

    def sample(x: Tensor) -> Tensor:
        out = function(x.unsqueeze(0))
        if not isinstance(out, Tensor):
            raise UserError(f"expected {label} to return one tensor; got {type(out).__name__}; wrap it to pick one")
        return out.squeeze(0)

    spans: list[tuple[str, int, int]] = []
    try:
        with torch.no_grad(), _module_spans(function, spans):
            graph = make_fx(torch.func.functionalize(sample))(example)
    except UserError:
        raise
    except RuntimeError as error:
        if "tracing" in str(error) or "data-dependent" in str(error):
            raise UserError(
                f"{label} branches on the values of its input, which has no fixed list of steps; "
                "trace the part without the branch"
            ) from error
        raise
    return _Builder(graph, spans, label).program(tuple(example.shape))


def _require_eval_mode(module: nn.Module) -> None:
    for name, part in module.named_modules():
        kind = type(part).__name__
        if not part.training:
            continue
        normalises = isinstance(part, nn.modules.batchnorm._BatchNorm)
        drops = isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0
        if normalises or drops:
            raise UserError(f"expected {kind} {name!r} in eval mode; got train mode; call model.eval() first")


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
            handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave(path))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Builder:
    """From the executed graph to a `Program`: constants folded, batch norm made affine, activations recognised."""

    def __init__(self, graph: Any, spans: list[tuple[str, int, int]], label: str) -> None:
        self.graph, self.label = graph, label
        self.nodes: list[Node] = list(graph.graph.nodes)
        self.spans = [span for span in spans if span[0]]
        self.constants: dict[str, Tensor] = {}
        self.values: dict[str, Any] = {}  # constant nodes, evaluated
        self.alias: dict[str, str] = {}
        self.dependent: dict[str, tuple[int, ...]] = {}
        self.steps: list[Step] = []
        self.origin: dict[str, int] = {}
        self.names_used: dict[str, int] = {}

    def program(self, input_shape: tuple[int, ...]) -> Program:
        source = output = ""
        for place, node in enumerate(self.nodes):
            if node.op == "placeholder":
                source = node.name
                self.dependent[source] = input_shape
            elif node.op == "get_attr":
                self.values[node.name] = getattr(self.graph, str(node.target))
            elif node.op == "output":
                output = self._output(node)
            else:
                self._visit(node, place)
        return Program(
            name=self.label,
            steps=self.steps,
            input=source,
            output=output,
            input_shape=input_shape,
            output_shape=self.dependent[output],
            constants=self.constants,
            cuts=self._cuts(source, output),
            shapes=self.dependent,
        )

    def _output(self, node: Node) -> str:
        target: Any = node.args[0]
        target = target[0] if isinstance(target, (list, tuple)) else target
        if not isinstance(target, Node) or self._name(target) not in self.dependent:
            raise UserError(f"the output of {self.label} does not depend on its input; nothing to partition")
        return self._name(target)

    def _name(self, node: Node) -> str:
        return self.alias.get(node.name, node.name)

    def _visit(self, node: Node, place: int) -> None:
        sources = [self._name(n) for n in _nodes_in((node.args, node.kwargs)) if self._name(n) in self.dependent]
        if not sources:
            self.values[node.name] = self._fold(node)
            return
        operation = str(getattr(node.target, "__name__", node.target)).split(".")[0].removesuffix("_copy")
        self.origin[node.name] = place
        if operation == "getitem":
            self._getitem(node)
        elif operation in ("native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit"):
            self._batch_norm(node, operation, place)
        elif operation == "max_pool2d_with_indices":
            self._max_pool(node, place)
        elif operation in SMOOTH:
            smooth = "gelu_tanh" if node.kwargs.get("approximate") == "tanh" else operation
            self._nonlinear(node, place, "smooth", operation, smooth=smooth)
        elif (switch := recognise_switch(operation, node)) is not None:
            self._nonlinear(node, place, "switch", operation, switch=switch)
        else:
            self._affine(node, operation, sources, place)

    def _fold(self, node: Node) -> Any:
        fill = lambda n: self.values[n.name]  # noqa: E731
        function: Any = node.target
        if node.op == "call_method":
            raise UserError(f"unexpected method {node.target!r} in the trace of {self.label}")
        return function(*torch.fx.node.map_arg(node.args, fill), **torch.fx.node.map_arg(node.kwargs, fill))  # pyright: ignore

    def _getitem(self, node: Node) -> None:
        source, index = node.args[0], node.args[1]
        assert isinstance(source, Node) and isinstance(index, int)
        owner = self._name(source)
        single = any(step.name == owner and step.selects == 0 for step in self.steps)
        if single and index == 0:
            self.alias[node.name] = owner
            return
        if single:
            if not node.users:
                return
            raise UserError(f"{self.label} uses the indices of a max-pool (unpooling), which is not piecewise linear")
        shape = _shape(node)
        self._add(node.name, "affine", (owner,), shape, lambda constants, value: value[index])

    def _batch_norm(self, node: Node, operation: str, place: int) -> None:
        arguments: Any = node.args
        training = operation != "_native_batch_norm_legit_no_training" and bool(arguments[5])
        if training:
            raise UserError(
                f"expected BatchNorm {self._path(place)!r} in eval mode; got train mode (it normalises with the batch, "
                "so one image's code would depend on the others); call model.eval() first"
            )
        weight, bias, mean, variance = (self._constant(a) for a in arguments[1:5])
        scale = (variance.double() + float(arguments[-1])).rsqrt()
        scale = scale if weight is None else weight.double() * scale
        shift = -mean.double() * scale if bias is None else bias.double() - mean.double() * scale
        shape = tuple(node.meta["val"][0].shape)
        spread = [1, -1] + [1] * (len(shape) - 2)
        keys = f"{node.name}.scale", f"{node.name}.shift"
        for key, value in zip(keys, (scale, shift), strict=True):
            self.constants[key] = value.to(mean.dtype).reshape(spread)

        def call(constants: dict[str, Tensor], x: Tensor) -> Tensor:
            return torch.addcmul(constants[keys[1]], x, constants[keys[0]])

        self._add(node.name, "affine", (self._name(arguments[0]),), shape, call, selects=0)

    def _constant(self, argument: Any) -> Any:
        return self.values[argument.name].detach() if isinstance(argument, Node) else argument

    def _max_pool(self, node: Node, place: int) -> None:
        arguments: Any = node.args
        kernel = pair(arguments[1])
        options = list(arguments[2:]) + [None] * (6 - len(arguments))
        stride = pair(options[0] or kernel)
        padding, dilation = pair(options[1] or 0), pair(options[2] or 1)
        source = self._name(arguments[0])
        shape = tuple(node.meta["val"][0].shape)
        places = window_places(self.dependent[source][-2:], shape[-2:], kernel, stride, padding, dilation)
        window = Window(kernel, stride, padding, dilation, bool(options[3]), places)
        self._nonlinear(node, place, "maximum", "max_pool", window=window, shape=shape, selects=0)

    def _nonlinear(self, node: Node, place: int, kind: Any, operation: str, **extra: Any) -> None:
        source: Any = node.args[0]
        shape = extra.pop("shape", None) or _shape(node)
        self._add(node.name, kind, (self._name(source),), shape, _no_call, site=self._site(place, operation), **extra)

    def _affine(self, node: Node, operation: str, sources: list[str], place: int) -> None:
        where = self._path(place)
        if operation in PRODUCTS:
            inverse = operation == "div" and isinstance(node.args[1], Node) and self._name(node.args[1]) in sources
            if len(sources) > (2 if operation in ("addmm", "baddbmm") else 1) or inverse:
                raise UserError(
                    f"{self.label} multiplies two input-dependent tensors at {where!r} ({operation}): attention, gates "
                    "(SwiGLU) and squeeze-and-excitation are not piecewise linear; trace a part without them, or sample"
                )
        elif operation not in AFFINE or (operation == "where" and self._depends(node.args[0])):
            what = REFUSALS.get(operation, f"the operation {operation!r}")
            raise UserError(
                f"expected affine, ReLU-like, GELU, SiLU or max-pool steps; got {what} at {where!r} of {self.label}; "
                "trace a part without it"
            )
        call = self._batched(node, operation, sources)
        shape = () if isinstance(node.meta.get("val"), (list, tuple)) else _shape(node)
        self._add(node.name, "affine", tuple(sources), shape, call)

    def _depends(self, argument: Any) -> bool:
        return isinstance(argument, Node) and self._name(argument) in self.dependent

    def _batched(self, node: Node, operation: str, sources: list[str]) -> Callable[..., Any]:
        """The step as a function of (constants, batched sources), vectorised over points."""
        function: Any = node.target
        constants = [n.name for n in _nodes_in((node.args, node.kwargs)) if self._name(n) not in self.dependent]
        for name in constants:
            value = self.values[name]
            self.constants[name] = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
        arguments, options = torch.fx.node.map_arg((node.args, dict(node.kwargs)), lambda n: Ref(self._name(n)))  # pyright: ignore
        if operation == "_to_copy":
            return lambda constants, value: value  # the program has one precision, chosen by the caller

        def one(weights: dict[str, Tensor], *inputs: Tensor) -> Any:
            queue = list(inputs)
            fill = lambda ref: weights[ref.name] if ref.name in weights else queue.pop(0)  # noqa: E731
            filled = _replace_refs(arguments, fill)
            return function(*filled, **{key: _replace_refs(v, fill) for key, v in options.items()})

        if operation in ("addmm", "mm") and isinstance(node.args[-2], Node) and self._name(node.args[-2]) == sources[0]:
            rows = _shape(node.args[-2])[0]
            if rows == 1 and len(sources) == 1:  # a plain linear layer: no need to vectorise what is batched already
                return _linear(function, arguments, options) or (
                    lambda weights, x: one(weights, x.flatten(0, 1)).unsqueeze(1)
                )
        if operation == "unsqueeze" and isinstance(node.args[1], int) and node.args[1] >= 0:
            axis = node.args[1] + 1
            return lambda constants, value: value.unsqueeze(axis)
        return lambda weights, *inputs: torch.vmap(lambda *values: one(weights, *values))(*inputs)  # pyright: ignore

    def _add(
        self, name: str, kind: Any, sources: tuple[str, ...], shape: tuple[int, ...], call: Any, **extra: Any
    ) -> None:
        self.dependent[name] = shape
        self.steps.append(Step(name=name, kind=kind, sources=sources, shape=shape, call=call, **extra))

    def _path(self, place: int) -> str:
        inside = [span for span in self.spans if span[1] <= place < span[2]]
        return min(inside, key=lambda span: span[2] - span[1])[0] if inside else self.label

    def _site(self, place: int, operation: str) -> str:
        inside = [span for span in self.spans if span[1] <= place < span[2]]
        leaf = min(inside, key=lambda span: span[2] - span[1]) if inside else None
        name = operation if leaf is None else f"{leaf[0]}:{operation}"
        self.names_used[name] = self.names_used.get(name, 0) + 1
        count = self.names_used[name]
        return name if count == 1 else f"{name}#{count}"

    def _cuts(self, source: str, output: str) -> dict[str, str]:
        """Layer name -> value, for values that alone carry everything forward, named by the module that ends there."""
        last_use = {name: i for i, step in enumerate(self.steps) for name in step.sources}
        last_use[output] = len(self.steps)
        alone, live = set(), {source}
        for i, step in enumerate(self.steps):
            live = {name for name in live | {step.name} if last_use.get(name, -1) > i}
            if live == {step.name}:
                alone.add(step.name)
        cuts = {"input": source}
        for path, start, end in sorted(self.spans, key=lambda span: (span[2], span[1])):
            inside = [step.name for step in self.steps if start <= self.origin.get(step.name, -1) < end]
            if inside and inside[-1] in alone and inside[-1] != output:
                owner = next((key for key, value in cuts.items() if value == inside[-1]), None)
                if owner is None or path.count(".") < owner.count("."):
                    cuts = {key: value for key, value in cuts.items() if key != owner}
                    count = 1 + sum(key.split("#")[0] == path for key in cuts)
                    cuts[path if count == 1 else f"{path}#{count}"] = inside[-1]
        order = {name: i for i, name in enumerate([source, *(step.name for step in self.steps)])}
        return dict(sorted(cuts.items(), key=lambda item: order[item[1]]))


def _linear(function: Any, arguments: Any, options: dict[str, Any]) -> Callable[..., Tensor] | None:
    """`mm(x, weight)` or `addmm(bias, x, weight)` without filling in arguments one by one at every call."""
    if options or not all(isinstance(argument, Ref) for argument in arguments):
        return None
    *first, _, weight = (argument.name for argument in arguments)

    def call(constants: dict[str, Tensor], x: Tensor) -> Tensor:
        bias = [constants[name] for name in first]
        return function(*bias, x.flatten(0, 1), constants[weight]).unsqueeze(1)

    return call


def _no_call(*_: Any) -> Any:
    raise AssertionError("non-affine steps are computed by a rule")


def _nodes_in(value: Any) -> list[Node]:
    """The nodes of nested arguments, with repeats, in order."""
    if isinstance(value, Node):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [node for item in value for node in _nodes_in(item)]
    return []


def _replace_refs(value: Any, fill: Callable[[Ref], Any]) -> Any:
    if isinstance(value, Ref):
        return fill(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_refs(item, fill) for item in value)
    return value


def _shape(node: Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else ()
