"""Distances by the tile against NumPy's bit counts; the order that puts near codes into one tile."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval.measures.clustering.hamming_tiles import ROWS, TILE, locality_order, padded, tile_distances


def words_of(n: int, n_words: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (n, n_words), dtype=np.uint64)


def counted(a: np.ndarray, b: np.ndarray, symbol_word: int) -> np.ndarray:
    differing = np.bitwise_count(a[:, None] ^ b[None]).astype(int)
    return differing[..., :symbol_word].sum(-1) + differing[..., symbol_word:].sum(-1) // 2


@pytest.mark.parametrize("symbol_word", [0, 2, 3])
@pytest.mark.parametrize("first", [0, TILE])
def test_two_items_are_compared_with_a_tile(symbol_word: int, first: int):
    a, b = words_of(5, 3), words_of(2 * TILE, 3, 1)
    out, halves = np.full((ROWS, TILE), -7, np.int32), np.full((ROWS, TILE), -7, np.int32)
    tile_distances(a, 3, b, first, symbol_word, out, halves)
    assert (out == counted(a[3:], b[first : first + TILE], symbol_word)).all()


@pytest.mark.parametrize("n", [1, TILE, TILE + 1])
def test_padding_fills_whole_tiles_with_zeros(n: int):
    words, order = words_of(n, 2), np.arange(n)[::-1].copy()
    found = padded(words, order)
    assert found.shape == (math.ceil(n / TILE) * TILE, 2) and (found[:n] == words[::-1]).all()
    assert not found[n:].any()


def test_few_items_stay_in_their_order():
    assert (locality_order(words_of(8 * TILE - 1, 1), 1) == np.arange(8 * TILE - 1)).all()
    assert (locality_order(words_of(8 * TILE, 1), 1) != np.arange(8 * TILE)).any()


@pytest.mark.parametrize(("n", "symbol_word"), [(529, 2), (530, 1)])
def test_items_are_sorted_by_their_nearest_pivot_along_a_chain(n: int, symbol_word: int):
    """The rule of the docstring, with whole distance matrices."""
    words = words_of(n, 2, 3) & words_of(n, 2, 4)
    first = np.arange(0, n, 23)  # every sqrt(n)-th
    between = counted(words, words[first], symbol_word)
    farthest = np.argsort(-between.min(1), kind="stable")[: n // 4 : 5]  # of the farthest quarter, again about sqrt(n)
    pivots = np.r_[first, farthest]
    between = counted(words, words[pivots], symbol_word)
    nearest, distance = between.argmin(1), between.min(1)  # the first of several that are equally near
    chain, steps = [0], counted(words[pivots], words[pivots], symbol_word)
    while len(chain) < len(pivots):
        left = [p for p in range(len(pivots)) if p not in chain]
        chain.append(min(left, key=lambda p: (steps[chain[-1], p], p)))
    rank = np.argsort(chain)
    assert (locality_order(words, symbol_word) == np.lexsort((distance, rank[nearest]))).all()
