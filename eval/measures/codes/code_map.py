"""Which bit of a spline code means what: the (layer, unit, position) map that makes two codes comparable.

Axis glossary: ``item`` the coded inputs (tokens, images), ``unit`` a channel or neuron, ``position`` where in the
layer's output, ``bit`` one yes/no of the packed code, ``word`` 64 bits.

A code of layers L..L+K partitions *layer L's input*, so the name of that input belongs to the map.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from eval.errors import UserError, known_name

WORD = 64


@dataclass(frozen=True)
class CodePart:
    """The nonlinear units of one call of one layer.

    layer: name of the hook or module, unique within a map (a reused module gets a suffix, `relu#2`).
    activation: `relu`, `relu6`, `leaky_relu`, `gelu`, `gelu_tanh`, `silu`, `max_pool`, ... : what the units do.
    shape: axes of the layer's output without the item axis; the first is the unit (channel), the others its position.
    thresholds: where the pre-activation changes the linear piece, rising; one bit each (`z > threshold`).
    symbols: 0 for threshold units; for categorical units (max-pool) the number of symbols, an all-dead window being
        one of them. A unit whose symbol differs counts as *one* differing bit.
    """

    layer: str
    activation: str
    shape: tuple[int, ...]
    thresholds: tuple[float | int, ...] = (0.0,)
    symbols: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "thresholds", tuple(float(value) for value in self.thresholds))
        if not self.shape or min(self.shape) < 1:
            raise UserError(f"expected a non-empty shape for {self.layer!r}; got {self.shape}; leave out empty layers")
        if self.symbols == 1 or self.symbols < 0:
            raise UserError(f"expected 0 or at least 2 symbols for {self.layer!r}; got {self.symbols}")
        if list(self.thresholds) != sorted(set(self.thresholds)) or (not self.symbols and not self.thresholds):
            raise UserError(f"expected rising thresholds for {self.layer!r}; got {self.thresholds}; sort them")

    @property
    def n_units(self) -> int:
        """Scalar units: channels times positions."""
        return math.prod(self.shape)

    @property
    def bits_per_unit(self) -> int:
        return self.symbols or len(self.thresholds)

    @property
    def n_bits(self) -> int:
        return self.n_units * self.bits_per_unit


class BitPlace(NamedTuple):
    """Where a bit comes from: `unit` is the channel, `position` the index on the remaining axes, `level` which
    threshold (or which symbol)."""

    layer: str
    unit: int
    position: tuple[int, ...]
    level: int


@dataclass(frozen=True)
class CodeMap:
    """The parts of a code in forward order, and the input that the code partitions.

    Bits lie part after part, threshold units first (`n_bits` of them), then the one-hot symbols of categorical parts
    (`n_symbol_bits`), which start on a fresh word.

    parts: threshold parts and categorical parts in forward order.
    input_site: hook or module whose *input* the code partitions.
    model: name of the model, for provenance; part of the identity (codes of two models are not comparable).
    """

    parts: tuple[CodePart, ...]
    input_site: str
    model: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        names = [part.layer for part in self.parts]
        if not names:
            raise UserError("expected at least one nonlinear layer in a code map; got none; is the network linear?")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"layer {twice!r} is twice in the code map; name the second call {twice + '#2'!r}")

    @cached_property
    def ordered(self) -> tuple[CodePart, ...]:
        """Parts in packing order: threshold parts, then categorical ones."""
        return tuple(p for p in self.parts if not p.symbols) + tuple(p for p in self.parts if p.symbols)

    @cached_property
    def n_bits(self) -> int:
        """Threshold bits."""
        return sum(part.n_bits for part in self.parts if not part.symbols)

    @cached_property
    def n_symbol_bits(self) -> int:
        """One-hot bits of the categorical units."""
        return sum(part.n_bits for part in self.parts if part.symbols)

    @cached_property
    def n_units(self) -> int:
        return sum(part.n_units for part in self.parts)

    @property
    def symbol_word(self) -> int:
        """The word at which the symbols start: distances count half a bit from there on."""
        return -(-self.n_bits // WORD)

    @property
    def n_words(self) -> int:
        return self.symbol_word + -(-self.n_symbol_bits // WORD)

    @cached_property
    def maximum_distance(self) -> int:
        """The largest Hamming distance: every threshold bit and every symbol different."""
        return self.n_bits + sum(part.n_units for part in self.parts if part.symbols)

    @cached_property
    def offsets(self) -> dict[str, int]:
        """First bit of each part, counted in unpacked order (threshold bits, then symbol bits)."""
        starts = np.cumsum([0, *(part.n_bits for part in self.ordered)])
        return {part.layer: int(start) for part, start in zip(self.ordered, starts[:-1], strict=True)}

    def part(self, layer: str) -> CodePart:
        """The part of `layer`; an unknown name gets its nearest known one."""
        known_name(layer, [part.layer for part in self.parts], "layer of the code map")
        return next(part for part in self.parts if part.layer == layer)

    def place(self, bit: int) -> BitPlace:
        """Where unpacked bit `bit` comes from."""
        total = self.n_bits + self.n_symbol_bits
        if not 0 <= bit < total:
            raise UserError(f"expected a bit in 0..{total - 1}; got {bit}")
        part = next(p for p in reversed(self.ordered) if self.offsets[p.layer] <= bit)
        unit, level = divmod(bit - self.offsets[part.layer], part.bits_per_unit)
        channel, *position = np.unravel_index(unit, part.shape)
        return BitPlace(part.layer, int(channel), tuple(int(index) for index in position), level)

    def select(self, layers: Sequence[str]) -> CodeMap:
        """The map of some layers only; it partitions the same input."""
        chosen = {self.part(layer).layer for layer in layers}
        return CodeMap(tuple(p for p in self.parts if p.layer in chosen), self.input_site, self.model)

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of everything above: equal exactly when codes are comparable."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        return {"parts": [asdict(part) for part in self.parts], "input_site": self.input_site, "model": self.model}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CodeMap:
        """The inverse of `as_json`."""
        parts = tuple(
            CodePart(p["layer"], p["activation"], tuple(p["shape"]), tuple(p["thresholds"]), p["symbols"])
            for p in value["parts"]
        )
        return cls(parts, value["input_site"], value["model"])
