"""Spline codes: which linear piece of a network is an input in? [Black et al. 2022; Balestriero & Baraniuk 2018]

A ReLU network is affine on polytopes. The *hard code* of layers L..L+K has one bit per nonlinear unit, 1 where its
pre-activation lies above the threshold (exactly on it counts as off), and a symbol per max-pool window (which entry
won); two inputs of layer L with the same code lie in the same polytope. The *soft code* of a smooth unit is its gate
as a probability (GELU: Phi(z); SiLU: sigmoid(z)), which becomes the hard code as the gate is sharpened.

Axis glossary: ``item`` coded inputs (tokens, images), ``unit`` nonlinear units in map order, ``bit``, ``word`` 64 bits,
``pair`` pairs of items, ``width`` coordinates of layer L's input.

    code_map = CodeMap((CodePart("blocks.0.mlp.hook_pre", "gelu", (3072,)),), "blocks.0.hook_mlp_in", "gpt2")
    codes = SplineCodes.hard(code_map, {"blocks.0.mlp.hook_pre": z})      # z [item, 3072], array or CPU tensor
    codes.hamming(codes[::-1]); codes[:10].hamming_matrix(codes); codes.bits(); codes.map.place(17)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int, Shaped, UInt8, UInt64

from eval.errors import UserError
from eval.measures.codes.code_map import WORD, BitPlace, CodeMap, CodePart
from eval.measures.codes.popcount import distance_matrix, paired_distances

__all__ = ["BitPlace", "CodeMap", "CodePart", "Density", "SplineCodes", "code_density"]

HALF_PRECISION = ("float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class SplineCodes:
    """Codes of many inputs under one map. Build with `hard` or `soft`; index like an array.

    map: what each bit means; distances between codes of different maps are refused.
    words: packed bits `[item, word]` uint64 (hard and categorical codes), little bit order; else `None`.
    gates: soft codes `[item, unit]` float32 in [0, 1], units in map order; else `None`.
    near_zero: share of an item's threshold units whose |z - threshold| is below the tolerance, `[item]` float32:
        those bits could flip with the arithmetic. 0 for soft codes.
    provenance: free-form origin (model revision, corpus, dtype); not compared.
    """

    map: CodeMap
    words: UInt64[np.ndarray, "item word"] | None
    gates: Float[np.ndarray, "item unit"] | None
    near_zero: Float[np.ndarray, " item"]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def hard(
        cls,
        code_map: CodeMap,
        preactivations: Mapping[str, Any],
        *,
        tolerance: float | None = None,
        source_dtype: str = "",
        provenance: Mapping[str, Any] | None = None,
    ) -> SplineCodes:
        """One bit per unit and threshold: z > threshold (equal counts as off); one symbol per categorical unit.

        Args:
            code_map: names the layers and their shapes.
            preactivations: per layer `[item, *shape]`: values for threshold units, symbols (integers in
                0..symbols-1) for categorical ones. NumPy arrays or CPU tensors.
            tolerance: |z - threshold| below this counts as near zero; `None`: the dtype's rounding (4 epsilon times
                the layer's root mean square). Half precision warns with the share.
            source_dtype: the precision the values were computed in, e.g. `bfloat16`, where they have been widened since
                (their own dtype if empty): it decides the tolerance and the warning.
            provenance: where the activations came from.

        Raises:
            UserError: a missing layer, a wrong shape, a non-finite value (NaN > 0 would silently be 0), a bad symbol.
        """
        rows: list[np.ndarray] = []
        symbols: list[np.ndarray] = []
        near, n_thresholds, n_items = None, 0, None
        for part in code_map.ordered:
            values, dtype = _layer_values(part, preactivations)
            if n_items is not None and len(values) != n_items:
                raise UserError(f"expected {n_items} items in every layer; got {len(values)} in {part.layer!r}")
            n_items = len(values)
            near = np.zeros(n_items) if near is None else near
            if part.symbols:
                symbols.append(_one_hot(part, values))
                continue
            levels = np.asarray(part.thresholds, dtype=values.dtype)
            rows.append((values[:, :, None] > levels).reshape(n_items, part.n_bits))
            near += _count_near(values, levels, source_dtype or dtype, tolerance)
            n_thresholds += part.n_units
        assert n_items is not None and near is not None  # a map has at least one part
        share = (near / max(1, n_thresholds)).astype(np.float32)
        dtypes = {str(value.dtype) for value in preactivations.values()}
        _warn_half_precision({source_dtype} if source_dtype else dtypes, share)
        words = np.concatenate([_pack(block, n_items) for block in (rows, symbols) if block], axis=1)
        return cls(code_map, words, None, share, dict(provenance or {}))

    @classmethod
    def soft(
        cls, code_map: CodeMap, gates: Mapping[str, Any], *, provenance: Mapping[str, Any] | None = None
    ) -> SplineCodes:
        """The gate of each unit as a probability, per layer `[item, *shape]` in [0, 1] (values that round outside by
        less than 1e-3 are clipped).

        Raises:
            UserError: a gate outside [0, 1], a non-finite value, a categorical part, a missing layer or wrong shape.
        """
        parts = []
        for part in code_map.parts:
            if part.symbols:
                raise UserError(f"layer {part.layer!r} is categorical and has no soft code; use SplineCodes.hard")
            values, _ = _layer_values(part, gates)
            if values.size and (values.min() < -1e-3 or values.max() > 1 + 1e-3):
                got = f"[{values.min():.3g}, {values.max():.3g}]"
                raise UserError(f"expected gates in [0, 1]; got {got} at {part.layer!r}; pass Phi(z), not the output")
            parts.append(np.clip(values, 0, 1).astype(np.float32))
        whole = np.concatenate(parts, axis=1)
        return cls(code_map, None, whole, np.zeros(len(whole), np.float32), dict(provenance or {}))

    @property
    def kind(self) -> str:
        """`hard`, `soft` or `categorical` (hard bits and symbols)."""
        if self.words is None:
            return "soft"
        return "categorical" if self.map.n_symbol_bits else "hard"

    def __len__(self) -> int:
        return len(self.near_zero)

    def __getitem__(self, items: Any) -> SplineCodes:
        """Some items: a slice, an index array, a mask; an integer gives one item."""
        chosen = [int(items)] if isinstance(items, (int, np.integer)) else items
        words = None if self.words is None else np.ascontiguousarray(self.words[chosen])
        gates = None if self.gates is None else self.gates[chosen]
        return replace(self, words=words, gates=gates, near_zero=self.near_zero[chosen])

    @staticmethod
    def concatenate(pieces: Sequence[SplineCodes]) -> SplineCodes:
        """One set of codes from several of the same map and kind, in order."""
        if not pieces:
            raise UserError("expected at least one piece of codes; got none; was every token excluded?")
        first = pieces[0]
        for piece in pieces:
            _check_comparable(first, piece)
        words = None if first.words is None else np.concatenate([p.words for p in pieces if p.words is not None])
        gates = None if first.gates is None else np.concatenate([p.gates for p in pieces if p.gates is not None])
        near = np.concatenate([piece.near_zero for piece in pieces])
        return replace(first, words=words, gates=gates, near_zero=near)

    def hamming(self, other: SplineCodes) -> Int[np.ndarray, " item"]:
        """Differing bits (a differing symbol counts one) of item i here and item i there, in 0..maximum_distance."""
        a, b = self._packed(other)
        if len(a) != len(b):
            raise UserError(f"expected as many codes on both sides; got {len(a)} and {len(b)}; use hamming_matrix")
        return paired_distances(a, b, self.map.symbol_word)

    def hamming_matrix(self, other: SplineCodes | None = None) -> Int[np.ndarray, "item other"]:
        """All pairs, int32: quadratic memory, for a few thousand codes. Clustering does not need it."""
        a, b = self._packed(self if other is None else other)
        return distance_matrix(a, b, self.map.symbol_word)

    def soft_l1(self, other: SplineCodes) -> Float[np.ndarray, " item"]:
        """Sum over units of |gate - gate'| of item i here and there; equals `hamming` where both are 0/1 gates."""
        _check_comparable(self, other)
        if self.gates is None or other.gates is None:
            raise UserError("expected soft codes; got hard ones; use hamming")
        if len(self) != len(other):
            raise UserError(f"expected as many codes on both sides; got {len(self)} and {len(other)}; select pairs")
        return np.abs(self.gates.astype(np.float64) - other.gates).sum(1)

    def distance(self, other: SplineCodes) -> np.ndarray:
        """Pairwise by item: `hamming` for hard codes, `soft_l1` for soft ones, float64 `[item]`."""
        return self.soft_l1(other) if self.words is None else self.hamming(other).astype(float)

    def bits(self, items: Any = slice(None)) -> UInt8[np.ndarray, "item bit"]:
        """Unpacked bits of some items, threshold bits first, then one-hot symbols (`map.place` names each)."""
        words, _ = self[items]._packed(self)
        low, high = self.map.symbol_word * WORD, self.map.symbol_word * WORD + self.map.n_symbol_bits
        raw = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little", count=max(high, self.map.n_bits))
        return np.concatenate([raw[:, : self.map.n_bits], raw[:, low:high]], axis=1)

    def layer_bits(self, layer: str, items: Any = slice(None)) -> UInt8[np.ndarray, "item bit"]:
        """Unpacked bits of one layer."""
        start = self.map.offsets[self.map.part(layer).layer]
        return self.bits(items)[:, start : start + self.map.part(layer).n_bits]

    def select_layers(self, layers: Sequence[str]) -> SplineCodes:
        """The codes of some of the layers, under the smaller map."""
        code_map = self.map.select(layers)
        if self.gates is not None:
            starts = np.cumsum([0, *(part.n_units for part in self.map.parts)])
            spans = {p.layer: slice(a, a + p.n_units) for p, a in zip(self.map.parts, starts[:-1], strict=True)}
            return replace(
                self, map=code_map, gates=np.concatenate([self.gates[:, spans[p.layer]] for p in code_map.parts], 1)
            )
        bits = self.bits().astype(bool)
        spans = {
            p.layer: slice(self.map.offsets[p.layer], self.map.offsets[p.layer] + p.n_bits) for p in code_map.parts
        }
        blocks = (
            [bits[:, spans[p.layer]] for p in code_map.ordered if bool(p.symbols) == flag] for flag in (False, True)
        )
        words = np.concatenate([_pack(block, len(self)) for block in blocks if block], axis=1)
        return replace(self, map=code_map, words=words)

    def differing_places(self, first: int, second: int) -> list[BitPlace]:
        """The bits in which two items differ, named."""
        a, b = self.bits([first, second])
        return [self.map.place(int(bit)) for bit in np.flatnonzero(a != b)]

    def n_distinct(self) -> int:
        """Number of different codes: polytopes visited."""
        whole = self.gates if self.words is None else self.words
        return len(np.unique(np.ascontiguousarray(whole), axis=0)) if len(self) else 0

    def _packed(self, other: SplineCodes) -> tuple[np.ndarray, np.ndarray]:
        _check_comparable(self, other)
        if self.words is None or other.words is None:
            raise UserError("expected hard codes; got soft ones; use soft_l1, or build them with SplineCodes.hard")
        return self.words, other.words


@dataclass(frozen=True)
class Density:
    """Polytope density of pairs: boundaries per unit of distance at layer L's input.

    distance: code distance `[pair]`; length: Euclidean distance `[pair]`; value: their ratio, NaN where `length` is 0.
    reason: why some are undefined, `None` where all are defined.
    """

    distance: Float[np.ndarray, " pair"]
    length: Float[np.ndarray, " pair"]
    value: Float[np.ndarray, " pair"]
    reason: str | None


def code_density(
    first: SplineCodes,
    second: SplineCodes,
    first_inputs: Float[np.ndarray, "pair width"],
    second_inputs: Float[np.ndarray, "pair width"],
) -> Density:
    """How many polytope boundaries lie between two inputs of layer L, per unit of distance? [PL section 3]

    density = Hamming(code(x), code(y)) / ||x - y||_2 (soft codes: L1 instead of Hamming). This counts *differing* bits:
    a lower bound on boundaries crossed, since a unit that flips twice counts zero here. Range [0, inf), units bits per
    unit length.

    Degenerate: coincident inputs have no density: NaN, and `reason` says how many.

    Raises:
        UserError: different maps, non-finite inputs, unequal numbers of pairs, no pair.
    """
    distance = first.distance(second)
    a, b = (_rows(x) for x in (first_inputs, second_inputs))
    if a.shape != b.shape or len(a) != len(distance):
        raise UserError(
            f"expected one input per code on both sides; got {a.shape} and {b.shape} for {len(distance)} pairs"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError("expected finite inputs; got NaN or infinity; check the activations at the input site")
    if not len(distance):
        raise UserError("expected at least one pair of inputs; got none; sample more tokens or images")
    length = np.linalg.norm(a - b, axis=1)
    coincident = length == 0
    value = np.divide(distance, length, out=np.full(len(length), np.nan), where=~coincident)
    reason = (
        f"{coincident.sum()} of {len(length)} pairs coincide: no distance to divide by" if coincident.any() else None
    )
    return Density(distance, length, value, reason)


def _rows(inputs: np.ndarray) -> np.ndarray:
    """`[pair, width]` float64; also of no pair at all, where a width cannot be guessed by `reshape`."""
    x = np.asarray(inputs, dtype=np.float64)
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


def _layer_values(part: CodePart, given: Mapping[str, Any]) -> tuple[Shaped[np.ndarray, "item unit"], str]:
    """`[item, unit]` values of one layer and the name of their dtype; bfloat16 tensors become float32."""
    if part.layer not in given:
        raise UserError(f"no values for layer {part.layer!r}; got {', '.join(given) or 'none'}; harvest that hook too")
    values: Any = given[part.layer]
    dtype = str(values.dtype).removeprefix("torch.")
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if dtype == "bfloat16" else values).numpy()
    values = np.asarray(values)
    if values.shape[1:] != part.shape:
        raise UserError(
            f"expected {part.layer!r} as [item, {', '.join(map(str, part.shape))}]; got {list(values.shape)}"
        )
    values = values.reshape(len(values), part.n_units)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise UserError(f"{bad} values at {part.layer!r} are NaN or infinite: a code would call them off; use float32")
    return values, dtype


def _one_hot(part: CodePart, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iu" or (values.size and not (values.min() >= 0 and values.max() < part.symbols)):
        raise UserError(
            f"expected integer symbols in 0..{part.symbols - 1} at {part.layer!r}; got {values.dtype}, "
            f"{values.min() if values.size else '-'}..{values.max() if values.size else '-'}"
        )
    chosen = values[:, :, None] == np.arange(part.symbols)
    return rearrange(chosen, "item unit symbol -> item (unit symbol)")


def _count_near(values: np.ndarray, levels: np.ndarray, dtype: str, tolerance: float | None) -> np.ndarray:
    """Units of each item that lie within the tolerance of a threshold, `[item]`."""
    if tolerance is None:
        exact = values.dtype.kind != "f"
        epsilon = 0.0 if exact else 2.0**-7 if dtype == "bfloat16" else float(np.finfo(np.dtype(dtype)).eps)
        scale = float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
        tolerance = 4 * epsilon * scale
    near = np.zeros(values.shape, dtype=bool)
    for level in levels:
        near |= np.abs(values - level) < tolerance
    return near.sum(1)


def _warn_half_precision(dtypes: Iterable[str], share: np.ndarray) -> None:
    found = sorted({name.removeprefix("torch.") for name in dtypes}.intersection(HALF_PRECISION))
    if found and share.size:
        warnings.warn(
            f"codes from {found[0]}: {100 * share.mean():.2g}% of the units lie within rounding of their threshold and "
            "may flip; use float32 for exact codes",
            stacklevel=3,
        )


def _pack(blocks: Sequence[np.ndarray], n_items: int) -> np.ndarray:
    """`[item, bit]` booleans side by side as `[item, word]` uint64, little bit order, zero-padded."""
    bits = np.concatenate(list(blocks), axis=1) if len(blocks) > 1 else blocks[0]
    n_words = -(-bits.shape[1] // WORD)
    packed = np.zeros((n_items, n_words * 8), dtype=np.uint8)
    packed[:, : -(-bits.shape[1] // 8)] = np.packbits(bits, axis=1, bitorder="little")
    return packed.view(np.uint64)


def _check_comparable(first: SplineCodes, second: SplineCodes) -> None:
    if first.map.fingerprint != second.map.fingerprint:
        a, b = first.map, second.map
        differ = [n for n in ("model", "input_site", "n_bits", "n_symbol_bits") if getattr(a, n) != getattr(b, n)]
        detail = (
            ", ".join(f"{n} {getattr(a, n)!r} and {getattr(b, n)!r}" for n in differ) or "other layers or thresholds"
        )
        raise UserError(f"expected codes of one map; got two ({detail}); compare codes of the same layers and model")
    if (first.words is None) != (second.words is None):
        raise UserError(f"expected codes of one kind; got {first.kind} and {second.kind}; build both the same way")
