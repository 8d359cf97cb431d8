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

Kind = Literal["affine", "switch", "maximum", "smooth"]


@dataclass(frozen=True)
class Ref:
    """The place of an earlier value in a step's arguments."""

    name: str


@dataclass(frozen=True)
class Switch:
    """An elementwise activation with kinks: ``y = offsets[p] + slopes[p] z``, p the number of thresholds below z.

    A value *on* a threshold counts as below it (z = 0 is off).
    """

    thresholds: tuple[float, ...]
    slopes: tuple[float, ...]
    offsets: tuple[float, ...]

    def pieces(self, z: Tensor) -> Tensor:
        """How many thresholds lie strictly below each value; uint8, the shape of z."""
        out = (z > self.thresholds[0]).to(torch.uint8)
        for threshold in self.thresholds[1:]:
            out += z > threshold
        return out

    def value(self, z: Tensor) -> Tensor:
        """The activation itself."""
        if self.slopes == (0.0, 1.0, 0.0)[: len(self.slopes)] and self.offsets[0] == self.thresholds[0]:
            high = self.thresholds[1] if len(self.thresholds) > 1 else None
            return z.clamp(min=self.thresholds[0], max=high)  # pyright: ignore
        return self.apply(z, self.pieces(z))

    def apply(self, z: Tensor, pieces: Tensor) -> Tensor:
        """The affine function of the given pieces, also where z lies outside them."""
        if self.slopes == (0.0, 1.0) and self.offsets == (0.0, 0.0):
            return z * pieces
        out = self.slopes[0] * z + self.offsets[0]
        for p in range(1, len(self.slopes)):
            out = torch.where(pieces == p, self.slopes[p] * z + self.offsets[p], out)
        return out


@dataclass(frozen=True)
class Window:
    """A 2-d max-pool: ``places[window candidate]`` flat positions in the (height, width) plane, -1 for padding."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    ceil_mode: bool
    places: Tensor

    @property
    def dead(self) -> int:
        """The symbol of a window whose candidates are all equal (dead, or all saturated)."""
        return self.places.shape[1]

    def pool(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Maximum and flat place of its first attainment, over ``z[... channel height width]``."""
        flat = z.reshape(-1, *z.shape[-3:])
        out, places = torch.ops.aten.max_pool2d_with_indices(
            flat, list(self.kernel), list(self.stride), list(self.padding), list(self.dilation), self.ceil_mode
        )
        return out.reshape(*z.shape[:-2], *out.shape[-2:]), places.reshape(*z.shape[:-2], *out.shape[-2:])

    def candidates(self, z: Tensor) -> Tensor:
        """``[... channel window candidate]``; minus infinity where a window hangs over the edge."""
        index = self.places.clamp(min=0).to(z.device)
        out = z.flatten(-2)[..., index]
        return out.masked_fill((self.places < 0).to(z.device), -torch.inf)

    def symbols(self, z: Tensor) -> Tensor:
        """``[... channel window]`` uint8: which candidate wins (the first of equals), or `dead`."""
        highest, places = self.pool(z)
        lowest = -self.pool(-z)[0]
        table = self.places.to(z.device)
        matches = places.flatten(-2).unsqueeze(-1) == table
        winner = matches.to(torch.uint8).argmax(-1)
        dead = (highest == lowest).flatten(-2) & ((table >= 0).sum(-1) > 1)
        return torch.where(dead, self.dead, winner).to(torch.uint8)

    def pick(self, z: Tensor, places: Tensor) -> Tensor:
        """The values at fixed flat places ``[... channel out_height out_width]``: the pool with its choice frozen."""
        values = torch.gather(z.flatten(-2), -1, places.flatten(-2).expand(*z.shape[:-2], -1))
        return values.reshape(*z.shape[:-2], *places.shape[-2:])


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
        if not torch.isfinite(z).all():
            raise UserError(f"non-finite pre-activations at {step.site!r} of {program.name}; check the weights")
        yield step, z
        live[step.name] = own_rule(step, z)
        program.release(live, position)
        position = program.advance(live, position + 1)


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
