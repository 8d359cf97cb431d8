"""The three sparse products a dictionary with few active features needs, so that only its encoder is a dense matmul.

Axis glossary: ``row`` one token (or image), ``active`` the k features kept in that row, ``feature`` dictionary
elements, ``width`` the activation's own dimension.

On the CPU the kernels are compiled by numba; sums run in a fixed order, so equal inputs give equal bits whatever the
number of threads. On other devices the same functions run as torch operations (`index_add_` there is not bitwise
reproducible).
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def decode_active(
    indices: Int[Tensor, "row active"], values: Float[Tensor, "row active"], vectors: Float[Tensor, "feature width"]
) -> Float[Tensor, "row width"]:
    """What do the active features add up to? ``out[r] = sum_a values[r, a] vectors[indices[r, a]]``."""
    return functional.embedding_bag(indices, vectors, per_sample_weights=values, mode="sum")


def dots_active(
    left: Float[Tensor, "row width"], vectors: Float[Tensor, "feature width"], indices: Int[Tensor, "row active"]
) -> Float[Tensor, "row active"]:
    """``out[r, a] = left[r] . vectors[indices[r, a]]``: the gradient of ``decode_active`` for its values."""
    if left.device.type != "cpu":
        return torch.einsum("rw,raw->ra", left, vectors[indices])
    out = torch.empty(indices.shape, dtype=left.dtype)
    _as_many_threads_as_torch()
    _dots(left.contiguous().numpy(), vectors.contiguous().numpy(), indices.numpy(), out.numpy())
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


def _as_many_threads_as_torch() -> None:
    """Idle threads of a parallel region wait in a loop: on a busy machine more of them than asked for cost a lot."""
    numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))  # pyright: ignore


@numba.njit(parallel=True, fastmath={"reassoc", "contract"}, cache=True)
@no_type_check
def _dots(left, vectors, indices, out):  # pragma: no cover (compiled)
    for row in numba.prange(indices.shape[0]):
        for a in range(indices.shape[1]):
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
