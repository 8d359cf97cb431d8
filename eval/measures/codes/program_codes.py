"""Spline codes of a traced network: its code map, and the codes of many inputs, packed site by site."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor
from torch.nn.functional import hardsigmoid
from torch.special import ndtr

from eval.errors import UserError
from eval.measures.codes.polytope import CodeMap, CodePart, SplineCodes
from eval.measures.geometry.piecewise_linear import Program, Step, site_symbols, walk


def code_part(step: Step) -> CodePart:
    """The map entry of one site: thresholds for switches, symbols for max-pool windows, gates for smooth units."""
    activation = step.site.rsplit(":", 1)[-1].split("#")[0]
    shape = step.shape[1:] if step.shape[0] == 1 and len(step.shape) > 1 else step.shape
    if step.window is not None:
        return CodePart(step.site, "max_pool", shape, symbols=step.window.dead + 1)
    thresholds = step.switch.thresholds if step.switch is not None else (0.0,)
    return CodePart(step.site, activation, shape, thresholds)


def code_map(program: Program, input_site: str = "input") -> CodeMap:
    """Which bit is which switch of the network; the codes partition the program's input, named `input_site`."""
    return CodeMap(tuple(code_part(step) for step in program.sites), input_site, program.name)


def site_codes(program: Program, batches: Iterable[Tensor], input_site: str = "input") -> dict[str, SplineCodes]:
    """The hard codes of many inputs, one `SplineCodes` per site in forward order.

    Args:
        program: a traced network (or a tail of it).
        batches: inputs ``[point ...]``; one batch's pre-activations at one site are in memory at a time.
        input_site: name of what the codes partition.

    Hamming distances of layers L..end are sums over the sites from L on.
    """
    parts: dict[str, list[SplineCodes]] = {}
    maps = {s.site: CodeMap((code_part(s),), input_site, program.name) for s in program.sites}
    for x in batches:
        for step, z in walk(program, x):
            shape = maps[step.site].parts[0].shape
            values = site_symbols(step, z) if step.window is not None else z
            given = {step.site: values.reshape(len(values), *shape)}
            parts.setdefault(step.site, []).append(SplineCodes.hard(maps[step.site], given))
    if not parts:
        raise UserError(f"expected inputs and at least one switch; {program.name} has {len(program.sites)} sites")
    return {site: SplineCodes.concatenate(pieces) for site, pieces in parts.items()}


def soft_codes(program: Program, x: Tensor, sharpness: float = 1.0, input_site: str = "input") -> SplineCodes:
    """The gate of every unit as a probability: GELU Phi(beta z), SiLU sigmoid(beta z), Hardswish Hardsigmoid(beta z),
    a switch its piece / thresholds.

    `sharpness` (beta) > 0; as it grows the gates of smooth units become their hard codes.

    Raises `UserError` for max-pool (it has no gate) and for a sharpness that is not positive.
    """
    if not sharpness > 0:
        raise UserError(f"expected a sharpness above 0; got {sharpness}; 1 is the network's own gate")
    gates: dict[str, Tensor] = {}
    for step, z in walk(program, x):
        if step.smooth:
            gate = smooth_gate(step.smooth, sharpness * z)
        elif step.switch is not None:
            gate = step.switch.pieces(z).float() / len(step.switch.thresholds)
        else:
            raise UserError(f"max-pool at {step.site!r} has no soft gate; use hard codes")
        gates[step.site] = gate.reshape(len(z), *code_part(step).shape)
    return SplineCodes.soft(code_map(program, input_site), gates)


def smooth_gate(name: str, z: Tensor) -> Tensor:
    """The factor of z in a smooth activation, in [0, 1]: SiLU's sigmoid, Hardswish's Hardsigmoid, GELU's Phi."""
    if name == "silu":
        return z.sigmoid()
    return hardsigmoid(z) if name == "hardswish" else ndtr(z)


def distances_from(codes: dict[str, SplineCodes], sites: Iterable[str]) -> np.ndarray:
    """Hamming distances ``[item item]`` int64 over the given sites together."""
    matrices = [codes[site].hamming_matrix().astype(np.int64) for site in sites]
    if not matrices:
        raise UserError("expected at least one site after the layer; got none; choose an earlier layer")
    return np.sum(matrices, axis=0)
