"""The affine map of one polytope: what the network computes there, and where "there" ends.

Axis glossary: ``point`` batch of inputs, ``out`` outputs, ``in`` inputs (both flattened).

Freeze every switch as it stands at x and the network becomes ``y -> A y + b``. Two freezes, which agree for ReLU and
max-pool and must not be confused for smooth units:

- the **gate map** keeps the secant ``act(z)/z`` of every unit (GELU: Phi(z)): it reproduces f(x), not the derivative;
- the **tangent map** keeps the slope ``act'(z)``: A is the Jacobian, and b is what makes it touch f at x.

A is never written down unless asked (`matrix`): products with A and its transpose are one forward or backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from eval.measures.geometry.piecewise_linear import Program, Step, own_rule, smooth_slope, smooth_value, walk
from eval.scores import Score

TOGETHER = 1e-9
"""Units that flip within this share of the distance of each other are one wall."""
Frozen = Callable[[Tensor], Tensor]


class BoundaryError(UserError):
    """A point on the wall between polytopes: it has no affine map of its own."""

    def __init__(self, site: str) -> None:
        super().__init__(f"x lies exactly on a boundary of {site!r}; it has no single polytope; move it")


@dataclass(frozen=True)
class AffineMap:
    """``y -> A y + b``: the network with its switches frozen at `point`.

    kind: `gate` or `tangent` (equal for piecewise-linear networks). Calling it on ``[point ...]`` gives ``A y + b``.
    """

    program: Program
    point: Tensor
    kind: str
    frozen: dict[str, Frozen]

    def __call__(self, y: Tensor) -> Tensor:
        return self.program.run(y, lambda step, z: self.frozen[step.name](z))

    def jvp(self, direction: Tensor) -> Tensor:
        """``A v`` for one or many directions ``[point ...]``, without writing A."""
        origin = self.point.expand(direction.shape).clone()
        return torch.func.jvp(self, (origin,), (direction,))[1]

    def vjp(self, weights: Tensor) -> Tensor:
        """``A^T w`` for weights over the outputs ``[point out...]``."""
        origin = self.point.expand(len(weights), *self.point.shape[1:]).clone()
        return torch.func.vjp(self, origin)[1](weights)[0]

    def offset(self) -> Tensor:
        """``b``: the map at zero, the output's shape without the batch axis."""
        return self(torch.zeros_like(self.point))[0]

    def matrix(self, max_values: int = 2**26) -> Float[Tensor, "out in"]:
        """A itself. Raises `UserError` where it would hold more than `max_values` numbers."""
        n_in, n_out = self.point[0].numel(), int(torch.Size(self.program.output_shape).numel())
        if n_in * n_out > max_values:
            raise UserError(
                f"A would be {n_out} x {n_in}, more than {max_values} numbers; use jvp and vjp, or a later layer"
            )
        eye = torch.eye(min(n_in, n_out), dtype=self.point.dtype, device=self.point.device)
        if n_out <= n_in:
            return self.vjp(eye.reshape(n_out, *self.program.output_shape)).reshape(n_out, n_in)
        return self.jvp(eye.reshape(n_in, *self.program.input_shape)).reshape(n_in, n_out).T


def local_map(program: Program, x: Tensor, kind: str = "tangent") -> AffineMap:
    """Which affine function does the network apply around x?

    ReLU and a max-pool that looks at it can share a wall: where the last live entry of a window dies, the window's
    symbol changes with it.

    Args:
        program: a traced network or a tail of it; its precision is the map's.
        x: one input, without the batch axis.
        kind: `tangent` (A is the Jacobian) or `gate` (secant). For networks of ReLU and max-pool they are the same
            map, and ``f(y) = A y + b`` for every y in the polytope of x.

    Raises:
        UserError: an unknown kind, a wrong shape, non-finite input, x exactly on a switch's boundary (named).
    """
    if kind not in ("gate", "tangent"):
        raise UserError(f"expected kind 'gate' or 'tangent'; got {kind!r}; the tangent map is the Jacobian")
    point = x.detach()[None].to(program.dtype)
    frozen: dict[str, Frozen] = {}
    suspects: dict[str, Tensor] = {}
    with torch.no_grad():
        for step, z in walk(program, point):
            frozen[step.name] = _freeze(step, z, kind)
            on = torch.zeros_like(z, dtype=torch.bool)
            for threshold in step.switch.thresholds if step.switch is not None else ():
                on |= z == threshold
            if bool(on.any()):
                suspects[step.name] = on
    affine = AffineMap(program, point, kind, frozen)
    if suspects:
        _refuse_boundary(affine, suspects)
    return affine


def _refuse_boundary(affine: AffineMap, suspects: dict[str, Tensor]) -> None:
    """Raise where a unit exactly on its threshold moves with the input (one that never moves is no wall)."""
    generator = torch.Generator().manual_seed(0)
    way = torch.randn(affine.point.shape, generator=generator, dtype=torch.float64).to(affine.point)
    walls: list[str] = []

    def watch(step: Step, z: Tensor) -> Tensor:
        on = suspects.get(step.name)
        if on is not None and bool((on & (z[1:] != z[:1])).any()):
            walls.append(step.site)
        return affine.frozen[step.name](z)

    with torch.no_grad():
        affine.program.run(torch.cat([affine.point, affine.point + way]), watch)
    if walls:
        raise BoundaryError(walls[0])


def _freeze(step: Step, z: Tensor, kind: str) -> Frozen:
    if step.switch is not None:
        switch, pieces = step.switch, step.switch.pieces(z)
        return lambda y: switch.apply(y, pieces)
    if step.window is not None:
        window, places = step.window, step.window.pool(z)[1]
        return lambda y: window.pick(y, places.expand(len(y), *places.shape[1:]))
    slope = smooth_slope(step.smooth, z)
    value = smooth_value(step.smooth, z)
    if kind == "gate":
        secant = torch.where(z == 0, slope, value / torch.where(z == 0, torch.ones_like(z), z))
        return lambda y: secant * y
    intercept = value - slope * z
    return lambda y: slope * y + intercept


def relative_error(program: Program, affine: AffineMap, y: Tensor) -> float:
    """``max |A y + b - f(y)| / max |f(y)|`` over points ``[point ...]``. At x itself this is a tautology."""
    with torch.no_grad():
        truth = program(y.to(program.dtype))
        return float((affine(y.to(program.dtype)) - truth).abs().max() / truth.abs().max().clamp(min=1e-30))


@dataclass(frozen=True)
class Exit:
    """Where a ray leaves the polytope of its start.

    distance: in units of the direction (``x + distance * direction`` is the boundary), or undefined where the ray never
    leaves. second: where the frozen map meets the next wall. site, unit: what flips.
    """

    distance: Score
    second: float
    site: str
    unit: int


def exit_along(program: Program, x: Tensor, direction: Tensor) -> Exit:
    """Where does a ray from x leave its polytope, and through which switch? Exact: until then nothing else flips.

    For each unit the frozen pre-activation is ``z + t dz``; the ray leaves at the smallest positive t that meets a
    threshold (or at which another candidate of a max-pool window overtakes).

    Raises:
        UserError: smooth activations, a zero direction, x exactly on a boundary (named).
    """
    program.require_piecewise_linear("the distance to a boundary")
    if not bool(direction.any()):
        raise UserError("expected a direction; got the zero vector; a segment of length zero leaves nowhere")
    point, step_to = x.detach()[None].to(program.dtype), direction.detach()[None].to(program.dtype)
    times: list[Tensor] = []
    owners: list[tuple[str, int]] = []
    with torch.no_grad():
        live = program.begin(torch.cat([point, point + step_to]))
        position = program.advance(live, 0)
        while position < len(program.steps):
            step, z = program.steps[position], live[program.steps[position].source]
            t = _flip_times(step, z)
            first = int(t.argmin())
            later = torch.where(t > t[first] * (1 + TOGETHER), t, torch.inf)  # copies of one unit leave together
            times += [t[first], later.min()]
            owners += [(step.site, first), (step.site, int(later.argmin()))]
            live[step.name] = _freeze(step, z[:1], "tangent")(z)
            program.release(live, position)
            position = program.advance(live, position + 1)
    every = torch.stack(times) if times else torch.empty(0)
    if not len(every) or not torch.isfinite(every).any():
        return Exit(Score.undefined("the ray never leaves its polytope"), float("inf"), "", -1)
    nearest = int(every.argmin())
    distance = float(every[nearest])
    second = float(torch.where(every > distance * (1 + TOGETHER), every, torch.inf).min())
    return Exit(Score(distance), second, *owners[nearest])


def _flip_times(step: Step, z: Tensor) -> Tensor:
    """When each unit of one site flips along the frozen ray, infinity for never: ``[unit]``."""
    never = torch.inf
    if step.switch is not None:
        start, rate = z[0].flatten(), (z[1] - z[0]).flatten()
        soonest = torch.full_like(start, never)
        for threshold in step.switch.thresholds:
            if bool(((start == threshold) & (rate != 0)).any()):
                raise BoundaryError(step.site)
            t = (threshold - start) / rate
            soonest = torch.where((t > 0) & (rate != 0), torch.minimum(soonest, t), soonest)
        return soonest
    assert step.window is not None
    values = step.window.candidates(z).reshape(2, -1, step.window.places.shape[1])
    start, rate = values[0], (values[1] - values[0]).nan_to_num(nan=-never)
    flat = step.window.places.to(z.device).expand(z[0].numel() // z[0].shape[-1] // z[0].shape[-2], -1, -1)
    winner = step.window.pool(z[:1])[1].reshape(-1, 1)
    chosen = (flat.reshape(-1, flat.shape[-1]) == winner).to(torch.uint8).argmax(-1, keepdim=True)
    lead, pace = start.gather(1, chosen), rate.gather(1, chosen)
    t = torch.where(rate > pace, (lead - start) / (rate - pace), never)
    t = torch.where((start == lead) & (rate == pace), never, t)
    return t.nan_to_num(nan=never).min(1).values


def nearest_boundary(program: Program, x: Tensor, max_units: int = 20_000) -> tuple[Exit, Tensor]:
    """How far is the nearest wall of x's polytope in any direction, and which way?

    distance = min over units and thresholds of ``|z - threshold| / ||grad z||``; exact, because the nearest hyperplane
    is always a wall. Returns the `Exit` along the unit vector towards it, and that vector. One backward pass per unit:
    for small networks.

    Raises:
        UserError: smooth activations or max-pool (use `exit_along`), more than `max_units` units.
    """
    program.require_piecewise_linear("the distance to a boundary")
    if any(step.window is not None for step in program.sites):
        raise UserError("expected switches only; got a max-pool; use exit_along with a direction")
    if program.n_units > max_units:
        raise UserError(f"expected at most {max_units} units; got {program.n_units}; use a later layer, or exit_along")
    point = x.detach()[None].to(program.dtype).requires_grad_()
    best, way = float("inf"), torch.zeros_like(point[0])
    live = program.begin(point)
    position = program.advance(live, 0)
    while position < len(program.steps):
        step, z = program.steps[position], live[program.steps[position].source]
        for unit, value in enumerate(z.flatten()):
            slope = torch.autograd.grad(value, point, retain_graph=True, allow_unused=True)[0]
            size = float(slope.norm()) if slope is not None else 0.0
            for threshold in step.switch.thresholds if step.switch is not None and size > 0 else ():
                gap = (threshold - float(value.detach())) / size
                if abs(gap) < best and slope is not None:
                    best, way = abs(gap), (slope[0] / size) * (1.0 if gap > 0 else -1.0)
            del unit
        live[step.name] = own_rule(step, z)
        program.release(live, position)
        position = program.advance(live, position + 1)
    if not bool(way.any()):
        return Exit(Score.undefined("no unit depends on the input"), float("inf"), "", -1), way
    return exit_along(program, x, way.detach()), way.detach()


def map_distance(first: AffineMap, second: AffineMap, *, n_probes: int = 32, seed: int = 0) -> float:
    """Frobenius distance of two local maps by Gaussian probes: ``sqrt(mean_w ||(A - A')^T w||^2)`` [Hutchinson 1990].

    Unbiased for the square; relative standard error about ``sqrt(1 / n_probes)`` or better. The same seed gives
    the same probes, so distances of several pairs are comparable.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (n_probes, *first.program.output_shape)
    probes = torch.randn(shape, generator=generator, dtype=torch.float64).to(first.point)
    gap = first.vjp(probes) - second.vjp(probes)
    return float(gap.flatten(1).square().sum(1).mean().sqrt())
