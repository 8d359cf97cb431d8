"""How alike are two texts by their words? Cosine of words weighted by rarity, without a model.

tf-idf: a word counts 1 + log(times in the text), times log((1 + n) / (1 + windows with it)) + 1 over the n windows of
the explain documents [Salton & Buckley 1988]. 0 (no word shared) to 1. Numbers and signs are no words, so the levels in
a printed rule count for nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from eval.explanation.records import Book
from eval.explanation.tokens import visible

_WORD = re.compile(r"[^\W\d_]\w*")


def words_of(text: str | Sequence[str]) -> list[str]:
    """The words of a text, or of a window's tokens, in small letters."""
    joined = text if isinstance(text, str) else "".join(visible(token) for token in text)
    return _WORD.findall(joined.lower())


def word_similarity(
    book: Book, first: Sequence[str | Sequence[str]], second: Sequence[str | Sequence[str]]
) -> Float[np.ndarray, "first second"]:
    """The similarity of every text (or window of tokens) with every other one; 0 for a text without a word."""
    n, counts = _rarity(book)
    vectors = [_weights(words_of(text), n, counts) for text in (*first, *second)]
    known = {word: place for place, word in enumerate(dict.fromkeys(word for one in vectors for word in one))}
    matrix = np.zeros((len(vectors), len(known)))
    for row, one in enumerate(vectors):
        matrix[row, [known[word] for word in one]] = list(one.values())
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    return matrix[: len(first)] @ matrix[len(first) :].T


def _weights(words: Sequence[str], n: int, counts: Counter[str]) -> dict[str, float]:
    times = Counter(words)
    return {word: (1 + np.log(k)) * (np.log((1 + n) / (1 + counts[word])) + 1) for word, k in times.items()}


def _rarity(book: Book) -> tuple[int, Counter[str]]:
    """(windows, windows with each word) of the explain documents, counted once for all books that share windows."""
    windows = book.windows
    numbers = windows.of("explain")
    key = ("words of windows", len(numbers))
    if key not in windows.memory:
        windows.memory[key] = Counter(
            word for number in numbers for word in set(words_of(windows.words(int(number))[1]))
        )
    return len(numbers), windows.memory[key]
