"""Hamming distances of packed words against NumPy's bit counts."""

from __future__ import annotations

import numpy as np
import pytest
from numba import types

from eval.measures.codes.popcount import _popcount, distance_matrix, paired_distances, word_distance


def counted(a: np.ndarray, b: np.ndarray, symbol_word: int) -> np.ndarray:
    """Differing bits up to the first word of symbols, half the differing bits from there on."""
    differing = np.bitwise_count(a ^ b).astype(int)
    return differing[..., :symbol_word].sum(-1) + differing[..., symbol_word:].sum(-1) // 2


@pytest.mark.parametrize("symbol_word", [0, 1, 2, 3])
def test_distances_are_numpys_bit_counts(symbol_word: int):
    a, b = np.random.default_rng(symbol_word).integers(0, 2**64, (2, 5, 3), dtype=np.uint64)
    b[3:, symbol_word:] = a[3:, symbol_word:]  # two items whose symbols agree
    assert word_distance(a[0], b[0], symbol_word) == counted(a[0], b[0], symbol_word)
    assert (paired_distances(a, b, symbol_word) == counted(a, b, symbol_word)).all()
    found = distance_matrix(a, b[:4], symbol_word)
    assert found.dtype == np.int32 and found.shape == (5, 4)
    assert (found == counted(a[:, None], b[None, :4], symbol_word)).all()


def test_the_intrinsic_asks_the_compiler_for_the_bits_of_its_only_argument():
    class Builder:
        def ctpop(self, word: object) -> tuple[str, object]:
            return "bits of", word

    signature, generate = _popcount(None, None)
    assert signature == types.int64(types.uint64)
    assert generate(None, Builder(), signature, ("the word",)) == ("bits of", "the word")
