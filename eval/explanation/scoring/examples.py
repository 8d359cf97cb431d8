"""The windows a question is about: where a unit fires, where it is silent, and which silent ones are hard to tell.

Hard negatives are the nearest neighbours of the windows where the unit fires: by activation (the highest peak below the
level that counts as active) and by text (the most similar words), one of each in turn [Paulo et al. 2024 take random
ones; the lowest windows, as in `detection`, are the easiest].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.explanation.explainers import MARKED_LEVEL, active_tokens
from eval.explanation.records import LEVELS, Book, Record
from eval.explanation.scoring.similarity import word_similarity


def firing(book: Book, unit: int, count: int | None = None, split: str = "score") -> list[Record]:
    """The unit's top windows of a split with an active token, largest first."""
    scale = float(book.scale[unit])
    return [record for record in book.top(unit, split, count) if active_tokens(record, scale).any()]


def silent(book: Book, unit: int, split: str = "score") -> list[Record]:
    """The shared random windows of a split in which nothing reaches the level that counts as active."""
    limit = MARKED_LEVEL / LEVELS * float(book.scale[unit])
    return [record for record in book.random(unit, split) if record.values.max() < limit]


def lowest(book: Book, unit: int, count: int) -> list[Record]:
    """The shared random windows with the lowest peak."""
    return sorted(book.random(unit, "score"), key=lambda record: float(record.values.max()))[:count]


def hard_negatives(
    book: Book, unit: int, positives: Sequence[Record], count: int, split: str = "score"
) -> list[Record]:
    """Up to ``count`` silent windows that lie nearest to the positives, by activation and by text in turn."""
    candidates = silent(book, unit, split)
    if not candidates or not positives:
        return []
    peaks = [record.values.max() for record in candidates]
    alike = word_similarity(book, [r.tokens for r in candidates], [r.tokens for r in positives]).max(1)
    rankings = [np.argsort(-np.asarray(values), kind="stable").tolist() for values in (peaks, alike)]
    turns = [place for pair in zip(*rankings, strict=True) for place in pair]
    return [candidates[place] for place in list(dict.fromkeys(turns))[:count]]
