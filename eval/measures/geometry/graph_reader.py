"""From the graph of executed operations to a `Program`: constants folded, batch norm made affine, switches recognised.

Every operation that the output depends on is a constant, affine in the input (`operations`), a switch or a max-pool
window (`kinks`), smooth (GELU, SiLU), or refused by name together with the module in which it stands.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from eval.errors import UserError
from eval.measures.geometry.batched_steps import batched_step, nodes_in, shape_of
from eval.measures.geometry.kinks import pair, recognise_switch, window_places
from eval.measures.geometry.module_names import ModuleNames
from eval.measures.geometry.operations import SHAPE_ONLY, is_random, product_of_two, why_not_affine
from eval.measures.geometry.piecewise_linear import Program, Step
from eval.measures.geometry.switches import Window

SMOOTH = ("gelu", "silu", "hardswish")
MOST_CANDIDATES = 254
"""Places a max-pool window may have: its symbol is one byte, and one value means "dead"."""


class GraphReader:
    """From the executed graph to a `Program`: constants folded, batch norm made affine, activations recognised."""

    def __init__(self, graph: Any, spans: list[tuple[str, int, int]], label: str) -> None:
        self.graph, self.label = graph, label
        self.nodes: list[Node] = list(graph.graph.nodes)
        self.needed = _needed(self.nodes)
        self.modules = ModuleNames(spans, label)
        self.constants: dict[str, Tensor] = {}
        self.values: dict[str, Any] = {}  # constant nodes, evaluated
        self.alias: dict[str, str] = {}
        self.dependent: dict[str, tuple[int, ...]] = {}
        self.steps: list[Step] = []
        self.origin: dict[str, int] = {}

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
        for key, value in self.constants.items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise UserError(f"expected finite weights; got NaN or infinity in {key!r} of {self.label}; mend them")
        return Program(
            name=self.label,
            steps=self.steps,
            input=source,
            output=output,
            input_shape=input_shape,
            output_shape=self.dependent[output],
            constants=self.constants,
            cuts=self.modules.cuts(self.steps, self.origin, source, output),
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
        if node.name not in self.needed:
            return
        operation = _operation(node)
        sources = [self._name(n) for n in nodes_in((node.args, node.kwargs)) if self._name(n) in self.dependent]
        if not sources:
            self._refuse_random(node, operation, place)
            self.values[node.name] = self._fold(node)
            return
        self.origin[node.name] = place
        if operation in SHAPE_ONLY:
            self._shape_only(node)
        elif operation == "getitem":
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

    def _refuse_random(self, node: Node, operation: str, place: int) -> None:
        if is_random(node):
            raise UserError(
                f"{self.label} draws random numbers at {self.modules.path(place)!r} ({operation}): dropout "
                "or stochastic depth in train mode, or noise; one draw has no code; call model.eval(), or leave it out"
            )

    def _shape_only(self, node: Node) -> None:
        """A constant of the shape of an input-dependent value: computed from an empty stand-in."""

        def stand_in(value: Node) -> Any:
            like: Any = value.meta.get("val")
            if self._name(value) not in self.dependent:
                return self.values[value.name]
            return torch.zeros(like.shape, dtype=like.dtype, device=like.device)

        function: Any = node.target
        self.values[node.name] = function(
            *torch.fx.node.map_arg(node.args, stand_in),  # pyright: ignore
            **torch.fx.node.map_arg(dict(node.kwargs), stand_in),  # pyright: ignore
        )

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
        shape = shape_of(node)
        self._add(node.name, "affine", (owner,), shape, lambda constants, value: value[index])

    def _batch_norm(self, node: Node, operation: str, place: int) -> None:
        arguments: Any = node.args
        training = operation != "_native_batch_norm_legit_no_training" and bool(arguments[5])
        if training:
            raise UserError(
                f"expected BatchNorm {self.modules.path(place)!r} in eval mode; got train mode (it normalises with "
                "the batch, so one image's code would depend on the others); call model.eval() first"
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
        if places.shape[1] > MOST_CANDIDATES:
            raise UserError(
                f"expected max-pool windows of at most {MOST_CANDIDATES} places; got {places.shape[1]} at "
                f"{self.modules.path(place)!r} of {self.label}; trace a part without it"
            )
        window = Window(kernel, stride, padding, dilation, bool(options[3]), places)
        self._nonlinear(node, place, "maximum", "max_pool", window=window, shape=shape, selects=0)

    def _nonlinear(self, node: Node, place: int, kind: Any, operation: str, **extra: Any) -> None:
        source: Any = node.args[0]
        shape = extra.pop("shape", None) or shape_of(node)
        self._add(
            node.name, kind, (self._name(source),), shape, _no_call, site=self.modules.site(place, operation), **extra
        )

    def _affine(self, node: Node, operation: str, sources: list[str], place: int) -> None:
        where = self.modules.path(place)
        places = {i for i, argument in enumerate(node.args) if self._depends(argument)}
        places |= {-1 for argument in node.kwargs.values() if self._depends(argument)}
        if product_of_two(operation, places):
            raise UserError(
                f"{self.label} multiplies two input-dependent tensors at {where!r} ({operation}): attention, gates "
                "(SwiGLU) and squeeze-and-excitation are not piecewise linear; trace a part without them, or sample"
            )
        if (what := why_not_affine(operation, node, places)) is not None:
            raise UserError(
                f"expected affine, ReLU-like, GELU, SiLU or max-pool steps; got {what} at {where!r} of {self.label}; "
                "trace a part without it"
            )
        for name in {self._name(n) for n in nodes_in((node.args, node.kwargs))} - set(self.dependent):
            value = self.values[name]
            self.constants[name] = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
        call = batched_step(node, operation, sources, self._name)
        shape = () if isinstance(node.meta.get("val"), (list, tuple)) else shape_of(node)
        self._add(node.name, "affine", tuple(sources), shape, call)

    def _depends(self, argument: Any) -> bool:
        return any(self._name(node) in self.dependent for node in nodes_in(argument))

    def _add(
        self, name: str, kind: Any, sources: tuple[str, ...], shape: tuple[int, ...], call: Any, **extra: Any
    ) -> None:
        self.dependent[name] = shape
        self.steps.append(Step(name=name, kind=kind, sources=sources, shape=shape, call=call, **extra))


def _operation(node: Node) -> str:
    """The operation's name without its overload; the copying form of a view is the view."""
    name = str(getattr(node.target, "__name__", node.target)).split(".")[0]
    return name if name == "_to_copy" else name.removesuffix("_copy")


def _needed(nodes: list[Node]) -> set[str]:
    """Names of the nodes that the output is computed from; the rest (winners' places nobody reads) says nothing."""
    needed: set[str] = set()
    for node in reversed(nodes):
        if node.op == "output" or node.name in needed:
            needed |= {source.name for source in nodes_in((node.args, node.kwargs))}
    return needed


def _no_call(*_: Any) -> Any:
    raise AssertionError("non-affine steps are computed by a rule")
