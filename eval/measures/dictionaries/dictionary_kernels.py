"""The sparse products a dictionary with few active features needs, so that only its encoder is a dense matmul.

Axis glossary: ``row`` one token (or image), ``active`` the k features kept in that row, ``feature`` dictionary
elements, ``width`` the activation's own dimension.

On the CPU the kernels are compiled by numba; sums run in a fixed order, so equal inputs give equal bits whatever the
number of threads. On other devices the same functions run as torch operations (`index_add_` there is not bitwise
reproducible).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def decode_active(
    indices: Int[Tensor, "row active"],
    values: Float[Tensor, "row active"],
    vectors: Float[Tensor, "feature width"],
    counts: Int[Tensor, " row"] | None = None,
) -> Float[Tensor, "row width"]:
    """What do the active features add up to? ``out[r] = sum_a values[r, a] vectors[indices[r, a]]``.

    counts: how many entries of each row are real, from the left; the rest, and zeros, are passed over (no autograd).
    """
    if counts is None or vectors.device.type != "cpu":
        return functional.embedding_bag(indices, vectors, per_sample_weights=values, mode="sum")
    out = torch.zeros(len(indices), vectors.shape[1], dtype=vectors.dtype)
    _as_many_threads_as_torch()
    _decode(indices.numpy(), values.contiguous().numpy(), counts.numpy(), vectors.contiguous().numpy(), out.numpy())
    return out


def sums_by_feature(
    indices: Int[Tensor, "row active"],
    values: Float[Tensor, "row active"],
    counts: Int[Tensor, " row"],
    n_features: int,
) -> Float[Tensor, " feature"]:
    """``out[f] = sum of values[r, a] over the real entries (r, a) with indices[r, a] = f``."""
    out = torch.zeros(n_features, dtype=values.dtype, device=values.device)
    if values.device.type != "cpu":
        real = torch.arange(indices.shape[1], device=values.device) < counts[:, None]
        return out.index_add_(0, indices[real], values[real])
    _sum(indices.numpy(), values.contiguous().numpy(), counts.numpy(), out.numpy())
    return out


def dots_active(
    left: Float[Tensor, "row width"],
    vectors: Float[Tensor, "feature width"],
    indices: Int[Tensor, "row active"],
    counts: Int[Tensor, " row"] | None = None,
) -> Float[Tensor, "row active"]:
    """``out[r, a] = left[r] . vectors[indices[r, a]]``: the gradient of ``decode_active`` for its values.

    counts: how many entries of each row are wanted, from the left; the rest are 0.
    """
    if left.device.type != "cpu":
        out = torch.einsum("rw,raw->ra", left, vectors[indices])
        if counts is not None:
            out[torch.arange(out.shape[1], device=out.device) >= counts[:, None]] = 0
        return out
    out = torch.zeros(indices.shape, dtype=left.dtype)
    wanted = torch.full((len(indices),), indices.shape[1]) if counts is None else counts
    _as_many_threads_as_torch()
    _dots(left.contiguous().numpy(), vectors.contiguous().numpy(), indices.numpy(), wanted.numpy(), out.numpy())
    return out


def accumulate_active(
    indices: Int[Tensor, "row active"],
    values: Float[Tensor, "row active"],
    vectors: Float[Tensor, "row width"],
    n_features: int,
) -> Float[Tensor, "feature width"]:
    """``out[f] = sum over (r, a) with indices[r, a] = f of values[r, a] vectors[r]``: the gradient for its vectors."""
    if vectors.device.type != "cpu":
        out = torch.zeros(n_features, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
        for a in range(indices.shape[1]):
            out.index_add_(0, indices[:, a], values[:, a, None] * vectors)
        return out
    out = torch.empty(n_features, vectors.shape[1], dtype=vectors.dtype)
    starts, rows, weights = _by_feature(indices.numpy(), values.contiguous().numpy(), n_features)
    _as_many_threads_as_torch()
    _accumulate(starts, rows, weights, vectors.contiguous().numpy(), out.numpy())
    return out


@dataclass(frozen=True)
class ByFeature:
    """Two gradients of vectors, ``first`` and ``second`` [feature width], and by feature: the sums of the first and of
    the second values, and how many of the first are not 0."""

    first: Float[Tensor, "feature width"]
    second: Float[Tensor, "feature other"]
    first_sums: Float[Tensor, " feature"]
    second_sums: Float[Tensor, " feature"]
    counts: Float[Tensor, " feature"]


def accumulate_both(
    indices: Int[Tensor, "row active"],
    counts: Int[Tensor, " row"],
    first: tuple[Float[Tensor, "row active"], Float[Tensor, "row width"]],
    second: tuple[Float[Tensor, "row active"], Float[Tensor, "row other"]],
    n_features: int,
    shrink: tuple[Float[Tensor, " feature"], Float[Tensor, "feature width"]] | None = None,
) -> ByFeature:
    """``accumulate_active`` of two (values, vectors) at the same active features, and their sums, on one sort.

    What the decoder and the encoder of a dictionary need. counts: how many entries of each row are real. shrink: of
    every feature a number and a vector, whose product with the sum of the first values is added to the first gradient
    (an L1 penalty pulls a decoder vector towards 0 by as much as it is used).
    """
    (one, of_one), (two, of_two) = first, second
    if one.device.type != "cpu":
        real = torch.arange(indices.shape[1], device=one.device) < counts[:, None]
        one, two = one * real, two * real
        made = [accumulate_active(indices, *pair, n_features) for pair in ((one, of_one), (two, of_two))]
        sums = [sums_by_feature(indices, value, counts, n_features) for value in (one, two, (one != 0).to(one.dtype))]
        if shrink is not None:
            made[0] += (shrink[0] * sums[0])[:, None] * shrink[1]
        return ByFeature(made[0], made[1], *sums)
    made = [torch.empty(n_features, vectors.shape[1], dtype=vectors.dtype) for vectors in (of_one, of_two)]
    sums = [torch.empty(n_features, dtype=one.dtype) for _ in range(3)]
    entries = _both_by_feature(
        indices.numpy(), counts.numpy(), one.contiguous().numpy(), two.contiguous().numpy(), n_features
    )
    _as_many_threads_as_torch()
    of = (of_one.contiguous().numpy(), of_two.contiguous().numpy())
    rates, pulled = (torch.zeros(0), made[0]) if shrink is None else shrink
    filled = (made[0].numpy(), made[1].numpy(), *(value.numpy() for value in sums))
    _accumulate_both(*entries, *of, rates.numpy(), pulled.contiguous().numpy(), *filled)
    return ByFeature(made[0], made[1], *sums)


def _as_many_threads_as_torch() -> None:
    """Idle threads of a parallel region wait in a loop: on a busy machine more of them than asked for cost a lot."""
    numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))  # pyright: ignore


@numba.njit(parallel=True, fastmath={"contract"}, cache=True)
@no_type_check
def _decode(indices, values, counts, vectors, out):  # pragma: no cover (compiled)
    for row in numba.prange(indices.shape[0]):
        for a in range(counts[row]):
            value = values[row, a]
            if value != 0:
                feature = indices[row, a]
                for w in range(vectors.shape[1]):
                    out[row, w] += value * vectors[feature, w]


@numba.njit(cache=True)
@no_type_check
def _sum(indices, values, counts, out):  # pragma: no cover (compiled)
    for row in range(indices.shape[0]):
        for a in range(counts[row]):
            out[indices[row, a]] += values[row, a]


@numba.njit(parallel=True, fastmath={"reassoc", "contract"}, cache=True)
@no_type_check
def _dots(left, vectors, indices, counts, out):  # pragma: no cover (compiled)
    for row in numba.prange(indices.shape[0]):
        for a in range(counts[row]):
            feature = indices[row, a]
            total = left.dtype.type(0)
            for w in range(left.shape[1]):
                total += left[row, w] * vectors[feature, w]
            out[row, a] = total


@numba.njit(cache=True)
@no_type_check
def _by_feature(indices, values, n_features):  # pragma: no cover (compiled)
    """Counting sort of the non-zero entries by feature; rows stay in order within a feature."""
    starts = np.zeros(n_features + 1, np.int64)
    for row in range(indices.shape[0]):
        for a in range(indices.shape[1]):
            if values[row, a] != 0:
                starts[indices[row, a] + 1] += 1
    for f in range(n_features):
        starts[f + 1] += starts[f]
    place = starts[:-1].copy()
    rows = np.empty(starts[-1], np.int64)
    weights = np.empty(starts[-1], values.dtype)
    for row in range(indices.shape[0]):
        for a in range(indices.shape[1]):
            if values[row, a] != 0:
                feature = indices[row, a]
                rows[place[feature]] = row
                weights[place[feature]] = values[row, a]
                place[feature] += 1
    return starts, rows, weights


@numba.njit(parallel=True, fastmath={"contract"}, cache=True)
@no_type_check
def _accumulate(starts, rows, weights, vectors, out):  # pragma: no cover (compiled)
    for feature in numba.prange(out.shape[0]):
        for w in range(out.shape[1]):
            out[feature, w] = 0
        for entry in range(starts[feature], starts[feature + 1]):
            weight = weights[entry]
            row = rows[entry]
            for w in range(out.shape[1]):
                out[feature, w] += weight * vectors[row, w]


@numba.njit(cache=True)
@no_type_check
def _both_by_feature(indices, counts, first, second, n_features):  # pragma: no cover (compiled)
    """Counting sort of the real entries by feature; rows stay in order within a feature."""
    starts = np.zeros(n_features + 1, np.int64)
    for row in range(indices.shape[0]):
        for a in range(counts[row]):
            starts[indices[row, a] + 1] += 1
    for f in range(n_features):
        starts[f + 1] += starts[f]
    place = starts[:-1].copy()
    rows = np.empty(starts[-1], np.int64)
    ones, twos = np.empty(starts[-1], first.dtype), np.empty(starts[-1], second.dtype)
    for row in range(indices.shape[0]):
        for a in range(counts[row]):
            entry = place[indices[row, a]]
            rows[entry], ones[entry], twos[entry] = row, first[row, a], second[row, a]
            place[indices[row, a]] = entry + 1
    return starts, rows, ones, twos


@numba.njit(parallel=True, fastmath={"contract"}, cache=True)
@no_type_check
def _accumulate_both(
    starts, rows, ones, twos, of_one, of_two, rates, pulled, first, second, first_sums, second_sums, counts
):  # pragma: no cover (compiled)
    for feature in numba.prange(first.shape[0]):
        total_one, total_two, count = first_sums.dtype.type(0), second_sums.dtype.type(0), 0
        for entry in range(starts[feature], starts[feature + 1]):
            total_one += ones[entry]
            total_two += twos[entry]
            count += ones[entry] != 0
        if len(rates) > 0 and count > 0:
            rate = rates[feature] * total_one
            for w in range(first.shape[1]):
                first[feature, w] = rate * pulled[feature, w]
        else:
            first[feature, :] = 0
        second[feature, :] = 0
        for entry in range(starts[feature], starts[feature + 1]):
            row, one, two = rows[entry], ones[entry], twos[entry]
            if one != 0:
                for w in range(first.shape[1]):
                    first[feature, w] += one * of_one[row, w]
            if two != 0:
                for w in range(second.shape[1]):
                    second[feature, w] += two * of_two[row, w]
        first_sums[feature], second_sums[feature], counts[feature] = total_one, total_two, count
