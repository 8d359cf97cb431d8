"""Hamming distances of bit-packed codes: numba kernels on uint64 words.

Axis glossary: ``item`` coded inputs, ``word`` 64 bits of a code. From word `symbol_word` on, categorical units are
stored one-hot, so a differing symbol sets two bits and counts once.
"""

from __future__ import annotations

import inspect
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from eval.measures.compiled import compiled


def _popcount(typing_context: Any, word: Any):  # numba passes its own context types
    del typing_context
    signature = types.int64(types.uint64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any):
        return builder.ctpop(arguments[0])

    return signature, generate


popcount: Any = intrinsic(inspect.unwrap(_popcount))
"""`popcount(word)`: number of set bits of a 64-bit word (LLVM `ctpop`), inside numba functions only."""


@compiled(inline="always")
def word_distance(a: np.ndarray, b: np.ndarray, symbol_word: int) -> int:
    """Hamming distance of two packed codes `[word]`."""
    bits = 0
    for w in range(symbol_word):
        bits += popcount(a[w] ^ b[w])
    symbols = 0
    for w in range(symbol_word, a.shape[0]):
        symbols += popcount(a[w] ^ b[w])
    return bits + (symbols >> 1)


@compiled(parallel=True)
def paired_distances(a: np.ndarray, b: np.ndarray, symbol_word: int) -> np.ndarray:
    """Hamming distance of row i of `a` and row i of `b`, `[item]` int64."""
    out = np.empty(a.shape[0], dtype=np.int64)
    for i in numba.prange(a.shape[0]):
        out[i] = word_distance(a[i], b[i], symbol_word)
    return out


@compiled(parallel=True)
def distance_matrix(a: np.ndarray, b: np.ndarray, symbol_word: int) -> np.ndarray:
    """Hamming distances `[row of a, row of b]` int32. Quadratic memory: for small sets and oracles."""
    out = np.empty((a.shape[0], b.shape[0]), dtype=np.int32)
    for i in numba.prange(a.shape[0]):
        for j in range(b.shape[0]):
            out[i, j] = word_distance(a[i], b[j], symbol_word)
    return out
