"""Planted units: a synthetic corpus of documents and units whose activation is a known function of the token."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from eval.explanation.explainers import Explanation
from eval.explanation.records import Book, Recorder
from eval.explanation.units import Unit
from eval.explanation.windows import SPLITS, Windows, split_documents

VOCABULARY = 100
WORDS = {token: f" w{token}" for token in range(VOCABULARY)}


def make_windows(n_documents: int = 80, per_document: int = 6, length: int = 33, seed: int = 0) -> Windows:
    """Windows of independent tokens, position 0 not read; the split is by document."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, VOCABULARY, (n_documents * per_document, length))
    keep = np.ones(tokens.shape, dtype=bool)
    keep[:, 0] = False
    document = np.repeat(np.arange(n_documents), per_document)
    return Windows(tokens, keep, document, split_documents(document, calibrate=True, seed=seed), WORDS)


def make_book(
    windows: Windows,
    units: Mapping[Unit, Callable[[np.ndarray, np.random.Generator], np.ndarray]],
    *,
    n_random: int = 140,
    policy: str = "skewness",
    seed: int = 0,
) -> Book:
    """Record every unit (a function of kept tokens [window, position] to signed activations) over all windows."""
    shared = {split: windows.sample(split, n_random, seed) for split in SPLITS}
    pairs, columns = [], 0
    for unit in units:
        pairs.append((columns, columns + 1) if unit.is_signed else (columns,))
        columns += len(pairs[-1])
    recorder = Recorder(windows, columns, shared, top=5, fit=windows.of("explain"))
    kept = windows.tokens[:, 1:]
    generator = np.random.default_rng(seed + 1)
    values = []
    for unit, function in units.items():
        value = function(kept, generator)
        values += [np.maximum(value, 0)] + ([np.maximum(-value, 0)] if unit.is_signed else [])
    stacked = np.stack(values, axis=-1).astype(np.float32)
    for first in range(0, len(windows), 7):
        numbers = np.arange(first, min(first + 7, len(windows)))
        recorder.update(stacked[numbers], numbers)
    return recorder.finish(list(units), pairs, policy)


def fires_on(*tokens: int, noise: float = 0.05) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """A unit that is about 1 on these tokens and about 0 elsewhere."""

    def function(kept: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.isin(kept, tokens) * 1.0 + noise * generator.standard_normal(kept.shape)

    return function


def says(*tokens: int) -> Explanation:
    """An explanation that names exactly these tokens: 10 on them, 0 elsewhere."""
    return Explanation(", ".join(f"`{WORDS[token]}`" for token in tokens))


class Saying:
    """An explainer that says what it was told to, whatever it is shown."""

    name = "oracle"

    def __init__(self, *explanations: Explanation) -> None:
        self.explanations = explanations

    def explain(self, book: Book, units) -> list[Explanation]:
        return [self.explanations[unit] for unit in units]
