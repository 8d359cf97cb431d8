"""Sequences of unlike length behind one cached prefix, as one batch.

A mask says what each token sees and positions say where it stands, so the order of tokens in a row is free: what is
read stands at the end of every row, in the same columns.

Axes: ``row``, ``column`` (tokens of a row, padded), ``seen`` (the prefix, then the columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from eval.explanation.local_simulator import SlotPrompt

_PADDING, _TEXT, _BRANCH = 0, 1, 2


@dataclass(frozen=True, eq=False)
class PackedRows:
    """Tokens, where each stands, and what it sees: the prefix always, itself always, no padding ever."""

    tokens: Int[np.ndarray, "row column"]
    positions: Int[np.ndarray, "row column"]
    sees: Bool[np.ndarray, "row column seen"]


def packed_texts(n_prefix: int, texts: Sequence[Sequence[int]]) -> PackedRows:
    """Texts that go on after the prefix; their last tokens stand in the last column."""
    longest = max(map(len, texts))
    tokens = np.stack([_left(text, longest) for text in texts])
    place = np.stack([_left(range(len(text)), longest, -1) for text in texts])
    return _packed(n_prefix, tokens, place, np.where(place >= 0, _TEXT, _PADDING))


def packed_slots(n_prefix: int, prompts: Sequence[SlotPrompt], branches: Sequence[int]) -> PackedRows:
    """Suffixes with their slots last, then a block of branch tokens for each branch, one beside every slot.

    A block is as wide as the most slots of a row; a row with fewer has them at the block's end. A branch stands at the
    position after its slot; it sees the suffix up to its slot, and itself.
    """
    n_slots = max(len(prompt.slots) for prompt in prompts)
    rest = [np.setdiff1d(np.arange(len(prompt.suffix)), prompt.slots) for prompt in prompts]
    widest = max(map(len, rest))
    tokens, place, kind = [], [], []
    for prompt, others in zip(prompts, rest, strict=True):
        suffix = np.array(prompt.suffix)
        slots = _left(prompt.slots, n_slots, -1)
        at = np.concatenate([_left(others, widest, -1), slots, np.tile(slots, len(branches))])
        own = np.where(at >= 0, suffix[np.maximum(at, 0)], 0)
        own[widest + n_slots :] = np.repeat(branches, n_slots)
        of = np.where(at >= 0, _TEXT, _PADDING)
        of[widest + n_slots :] = np.where(at[widest + n_slots :] >= 0, _BRANCH, _PADDING)
        tokens.append(own)
        place.append(at)
        kind.append(of)
    return _packed(n_prefix, np.stack(tokens), np.stack(place), np.stack(kind))


def _left(values: Sequence[int] | range | np.ndarray, length: int, fill: int = 0) -> Int[np.ndarray, " column"]:
    """Padded on the left."""
    out = np.full(length, fill, dtype=np.int64)
    if len(values):
        out[length - len(values) :] = list(values)
    return out


def _packed(n_prefix: int, tokens: np.ndarray, place: np.ndarray, kind: np.ndarray) -> PackedRows:
    """place: index of each token in its suffix (of a branch: of its slot); -1 for padding."""
    rows, columns = tokens.shape
    sees = np.ones((rows, columns, n_prefix + columns), dtype=bool)
    sees[:, :, n_prefix:] = (kind == _TEXT)[:, None, :] & (place[:, None, :] <= place[:, :, None])
    sees[:, :, n_prefix:] |= np.eye(columns, dtype=bool)
    return PackedRows(tokens, n_prefix + np.maximum(place, 0) + (kind == _BRANCH), sees)
