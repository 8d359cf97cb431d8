"""Any PyTorch callable as a straight list of affine steps and switches: what every polytope measure walks.

Axis glossary: ``point`` a batch of inputs (images, breakpoints, region corners), ``unit`` scalar switches of one site
in flattened order, ``threshold`` the thresholds of one switch (one for ReLU, two for ReLU6), ``window`` a max-pool
window (with its channel), ``candidate`` a place inside a window.

`trace` runs the callable once on one example and records what PyTorch really executed (`make_fx` over
`functionalize`), so a module and a functional activation, a reused or an in-place ReLU, a residual, a concatenation
and a padded pool are all the same thing: one aten operation. Each is affine, a switch, smooth (GELU, SiLU), or refused
by name. Every sample is traced without its batch axis; `torch.vmap` runs a batch, so a shape that the model bakes in
(`x.view(batch, -1)`) does no harm.

The codes partition the *input* of the program: `Program.tail(cut)` is the same network from a later layer on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from eval.errors import UserError, known_name
from eval.measures.geometry.switches import Switch, Window

Kind = Literal["affine", "switch", "maximum", "smooth"]


@dataclass(frozen=True)
class Ref:
    """The place of an earlier value in a step's arguments."""

    name: str


@dataclass(frozen=True)
class Step:
    """One executed operation.

    name: of the value it makes; kind: affine, switch, maximum or smooth; sources: the input-dependent values it reads.
    site: for a non-affine step, the module path (and operation) a reader recognises; shape: of the value, no batch.
    """

    name: str
    kind: Kind
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    call: Callable[..., Any]
    site: str = ""
    switch: Switch | None = None
    window: Window | None = None
    smooth: str = ""
    selects: int | None = None

    @property
    def source(self) -> str:
        return self.sources[0]

    @property
    def n_units(self) -> int:
        """Scalar switches at this site (windows for a max-pool); 0 for an affine step."""
        return 0 if self.kind == "affine" else int(torch.Size(self.shape).numel())


@dataclass
class Program:
    """A network as executed: affine steps and switches in order, from `input` to `output`.

    name: of the network; cuts: ``{layer name: value name}`` of places where one tensor carries everything forward;
    constants: weights and whatever does not depend on the input.
    """

    name: str
    steps: list[Step]
    input: str
    output: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    constants: dict[str, Tensor]
    cuts: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last_use = {source: i for i, step in enumerate(self.steps) for source in step.sources}
        self._last_use[self.output] = len(self.steps)

    @property
    def sites(self) -> list[Step]:
        """The non-affine steps, in order."""
        return [step for step in self.steps if step.kind != "affine"]

    @property
    def n_units(self) -> int:
        return sum(step.n_units for step in self.sites)

    @property
    def dtype(self) -> torch.dtype:
        floating = (value for value in self.constants.values() if value.is_floating_point())
        return next((value.dtype for value in floating), torch.get_default_dtype())

    @property
    def device(self) -> torch.device:
        return next((value.device for value in self.constants.values()), torch.device("cpu"))

    def to(self, dtype: torch.dtype) -> Program:
        """The same network with its weights in another precision (float64 for geometry)."""
        if all(v.dtype == dtype for v in self.constants.values() if v.is_floating_point()):
            return self
        cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in self.constants.items()}
        return dataclasses.replace(self, constants=cast)

    def tail(self, cut: str) -> Program:
        """The network from layer `cut` on: its input is what that layer passes forward.

        Raises `UserError` for an unknown cut, with the nearest names.
        """
        value = self.cuts[known_name(cut, self.cuts, "layer")]
        names = [step.name for step in self.steps]
        start = names.index(value) + 1 if value in names else 0
        later = {name: v for name, v in self.cuts.items() if v == value or v in names[start:]}
        return dataclasses.replace(
            self,
            name=f"{self.name} from {cut}",
            steps=self.steps[start:],
            input=value,
            input_shape=_without_batch(self.shapes[value]),
            cuts=later,
        )

    def require_piecewise_linear(self, what: str) -> None:
        """Refuse smooth activations by name, for measures that are exact only without them."""
        smooth = [step.site for step in self.sites if step.kind == "smooth"]
        if smooth:
            raise UserError(
                f"expected a piecewise-linear network for {what}; got a smooth activation at {smooth[0]!r}; "
                "sample along the path instead, or use soft codes"
            )

    def values_at(self, x: Tensor, cuts: Iterable[str]) -> dict[str, Tensor]:
        """What the network passes forward at some layers, ``{cut: [point ...]}``: inputs for their `tail`s."""
        wanted = {self.cuts[known_name(cut, self.cuts, "layer")]: cut for cut in cuts}
        live = self.begin(x)
        out = {cut: x for value, cut in wanted.items() if value == self.input}
        for position, step in enumerate(self.steps):
            if len(out) == len(wanted):
                break
            if step.kind == "affine":
                self.advance(live, position, position + 1)
            else:
                live[step.name] = own_rule(step, live[step.source])
                self.release(live, position)
            if step.name in wanted:
                out[wanted[step.name]] = live[step.name].reshape(len(x), *_without_batch(step.shape))
        return out

    # Walking -----------------------------------------------------------------------------------------------------

    def begin(self, x: Tensor) -> dict[str, Tensor]:
        """The live values at the start: the checked input ``x[point ...]``."""
        if tuple(x.shape[1:]) != tuple(self.input_shape):
            raise UserError(
                f"expected input [point, {', '.join(map(str, self.input_shape))}] for {self.name}; got "
                f"{list(x.shape)}; add the batch axis, or trace the network again with an example of this shape"
            )
        if not torch.isfinite(x).all():
            raise UserError(f"expected finite inputs to {self.name}; got NaN or infinity; a code of NaN says nothing")
        return {self.input: x.reshape(len(x), *self.shapes.get(self.input, self.input_shape))}

    def advance(self, live: dict[str, Tensor], position: int, stop: int | None = None) -> int:
        """Run affine steps from `position` on; returns the position of the next non-affine step (or the end)."""
        end = len(self.steps) if stop is None else stop
        while position < end and self.steps[position].kind == "affine":
            step = self.steps[position]
            live[step.name] = step.call(self.constants, *(live[name] for name in step.sources))
            self.release(live, position)
            position += 1
        return position

    def release(self, live: dict[str, Tensor], position: int) -> None:
        """Forget the values that no step after `position` reads."""
        for name in self.steps[position].sources:
            if self._last_use[name] <= position:
                live.pop(name, None)

    def run(self, x: Tensor, rule: Callable[[Step, Tensor], Tensor] | None = None) -> Tensor:
        """The output ``[point ...]``; `rule(step, z)` computes each non-affine step (`own_rule` when None)."""
        live = self.begin(x)
        position = self.advance(live, 0)
        while position < len(self.steps):
            step = self.steps[position]
            z = live[step.source]
            live[step.name] = own_rule(step, z) if rule is None else rule(step, z)
            self.release(live, position)
            position = self.advance(live, position + 1)
        return live[self.output]

    __call__ = run


def _without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without the model's own batch axis of one."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def own_rule(step: Step, z: Tensor) -> Tensor:
    """What the network itself does at a non-affine step."""
    if step.switch is not None:
        return step.switch.value(z)
    if step.window is not None:
        return step.window.pool(z)[0]
    return smooth_value(step.smooth, z)


def smooth_value(name: str, z: Tensor) -> Tensor:
    """GELU (`gelu`, `gelu_tanh`), SiLU (`silu`) or Hardswish (`hardswish`: quadratic between -3 and 3)."""
    if name == "silu":
        return torch.nn.functional.silu(z)
    if name == "hardswish":
        return torch.nn.functional.hardswish(z)
    return torch.nn.functional.gelu(z, approximate="tanh" if name == "gelu_tanh" else "none")


def smooth_slope(name: str, z: Tensor) -> Tensor:
    """The derivative of `smooth_value`, by differentiation."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        return torch.autograd.grad(smooth_value(name, leaf).sum(), leaf)[0]


def walk(program: Program, x: Tensor) -> Iterator[tuple[Step, Tensor]]:
    """The pre-activations of each point, site by site: ``(step, z[point ...])``, one site in memory at a time.

    Raises `UserError` for non-finite inputs and pre-activations.
    """
    live = program.begin(x)
    position = program.advance(live, 0)
    while position < len(program.steps):
        step = program.steps[position]
        z = live[step.source]
        require_finite(program, step, z)
        yield step, z
        live[step.name] = own_rule(step, z)
        program.release(live, position)
        position = program.advance(live, position + 1)


def require_finite(program: Program, step: Step, z: Tensor) -> None:
    """Refuse pre-activations that say nothing, by the name of their site."""
    if not torch.isfinite(z).all():
        raise UserError(f"non-finite pre-activations at {step.site!r} of {program.name}; check the weights")


def site_symbols(step: Step, z: Tensor) -> Tensor:
    """The code at one site, uint8 ``[point unit]``.

    The number of thresholds below the pre-activation (ReLU: 0 or 1; ReLU6: 0, 1, 2), or the winning candidate of a
    max-pool window (`Window.dead` where all its candidates are equal); a smooth site gives its hard code.
    """
    if step.window is not None:
        return step.window.symbols(z).flatten(1)
    if step.switch is not None:
        return step.switch.pieces(z).flatten(1)
    return (z > 0).to(torch.uint8).flatten(1)


def code_of(program: Program, x: Tensor) -> Tensor:
    """All symbols of each point side by side, uint8 ``[point unit]`` (small networks; `walk` streams the rest)."""
    parts = [site_symbols(step, z) for step, z in walk(program, x)]
    return torch.cat([torch.empty(len(x), 0, dtype=torch.uint8, device=x.device), *parts], dim=1)
