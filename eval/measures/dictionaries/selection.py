"""Which features of a batch are active? The k largest of every row, of all rows together, or all above a floor.

Chosen features stand as columns of indices and values, as many as the fullest row has; `counts` says how many of a row
are real, the rest are index 0 and value 0. On the CPU a row's entries stand by index and equal scores are taken from
the lowest index; the smallest score that is kept is found by partitioning, which costs a tenth of a sorted top k. On
other devices the same functions run as torch operations. A score that is not a number counts as chosen, so that a loss
shows it.

Axis glossary: ``row`` tokens of a batch, ``feature``, ``active`` chosen features of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Chosen:
    """Features chosen of every row, with their scores; `counts` of them are real."""

    indices: Int[Tensor, "row active"]
    values: Float[Tensor, "row active"]
    counts: Int[Tensor, " row"]


@dataclass(frozen=True)
class Read:
    """What a batch makes of a dictionary: its centred rows, decoder norms, all scores, and the chosen features.

    values: of the features (the score over the decoder's norm). smallest: score that was kept, where k are active on
    average over the batch.
    """

    centred: Float[Tensor, "row d_in"]
    size: Float[Tensor, " feature"]
    scores: Float[Tensor, "row feature"]
    indices: Int[Tensor, "row active"]
    values: Float[Tensor, "row active"]
    counts: Int[Tensor, " row"]
    smallest: float = 0.0


def largest_by_row(scores: Float[Tensor, "row feature"], k: int) -> Chosen:
    """The k largest scores of every row."""
    n_rows, n_features = scores.shape
    if scores.device.type != "cpu" or k >= n_features:
        values, indices = scores.topk(min(k, n_features), dim=1, sorted=False)
        return Chosen(indices, values, torch.full((n_rows,), indices.shape[1], device=scores.device))
    held = np.ascontiguousarray(scores.numpy())
    least = np.partition(held, n_features - k, axis=1)[:, n_features - k]
    indices, values = np.zeros((n_rows, k), np.int64), np.zeros((n_rows, k), held.dtype)
    _fill_largest(held, least, indices, values)
    return Chosen(torch.from_numpy(indices), torch.from_numpy(values), torch.full((n_rows,), k))


def largest_of_all(scores: Float[Tensor, "row feature"], count: int, least: float = 1e-12) -> tuple[Chosen, float]:
    """All scores at or above the `count`-th largest of the batch, or above `least` where that is larger; and it."""
    if scores.device.type != "cpu":
        smallest = float(scores.flatten().topk(count, sorted=False).values.min().clamp_min(least))
    else:
        flat = scores.numpy().ravel()
        place = len(flat) - count
        smallest = max(float(np.partition(flat, place)[place]), least)
    floor = torch.full((scores.shape[1],), smallest, dtype=scores.dtype, device=scores.device)
    return above(scores, torch.nextafter(floor, torch.tensor(-torch.inf, device=scores.device))), smallest


def counts_above(scores: Float[Tensor, "row feature"], floor: Float[Tensor, " feature"]) -> Int[Tensor, " row"]:
    """How many scores of each row are above their feature's floor."""
    if scores.device.type != "cpu":
        return (~(scores <= floor)).sum(1)
    return torch.from_numpy(_count_above(np.ascontiguousarray(scores.numpy()), np.ascontiguousarray(floor.numpy())))


def above(
    scores: Float[Tensor, "row feature"], floor: Float[Tensor, " feature"], counts: Int[Tensor, " row"] | None = None
) -> Chosen:
    """All scores above their feature's floor. counts: what `counts_above` says, where that is known."""
    counts = counts_above(scores, floor) if counts is None else counts
    if scores.device.type != "cpu":
        on = ~(scores <= floor)
        values, indices = torch.where(on, scores, -torch.inf).topk(max(1, int(counts.max())), dim=1)
        real = torch.arange(values.shape[1], device=scores.device) < counts[:, None]
        return Chosen(torch.where(real, indices, 0), torch.where(real, values, 0.0), counts)
    held, limits = np.ascontiguousarray(scores.numpy()), np.ascontiguousarray(floor.numpy())
    shape = (len(held), max(1, int(counts.max()) if len(counts) else 0))
    indices, values = np.zeros(shape, np.int64), np.zeros(shape, held.dtype)
    _fill_above(held, limits, indices, values)
    return Chosen(torch.from_numpy(indices), torch.from_numpy(values), counts)


@numba.njit(cache=True)
@no_type_check
def _fill_largest(scores, least, indices, values):  # pragma: no cover (compiled)
    """Above the row's k-th largest first, then as many equal to it as are missing; both by index."""
    k = indices.shape[1]
    for row in range(scores.shape[0]):
        limit, larger = least[row], 0
        for feature in range(scores.shape[1]):
            larger += not (scores[row, feature] <= limit)
        equal, place = k - min(larger, k), 0
        for feature in range(scores.shape[1]):
            score = scores[row, feature]
            if place < k and (not (score <= limit) or (score == limit and equal > 0)):
                equal -= score == limit
                indices[row, place], values[row, place] = feature, score
                place += 1


@numba.njit(cache=True)
@no_type_check
def _count_above(scores, floor):  # pragma: no cover (compiled)
    counts = np.zeros(scores.shape[0], np.int64)
    for row in range(scores.shape[0]):
        total = 0
        for feature in range(scores.shape[1]):
            total += not (scores[row, feature] <= floor[feature])
        counts[row] = total
    return counts


@numba.njit(cache=True)
@no_type_check
def _fill_above(scores, floor, indices, values):  # pragma: no cover (compiled)
    for row in range(scores.shape[0]):
        place = 0
        for feature in range(scores.shape[1]):
            score = scores[row, feature]
            if not (score <= floor[feature]):
                indices[row, place], values[row, place] = feature, score
                place += 1
