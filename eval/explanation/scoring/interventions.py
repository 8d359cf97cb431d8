"""Intervention: does the model, steered along a unit, say what the words say? [Paulo et al. 2024]

The model continues the first tokens of the shared random windows of the score documents twice, with the unit raised by
its largest activation on the explain documents at every position, and without; a continuation of either kind is drawn
under the same seed. A judge who knows only the explanation is asked of each continuation, as in detection, whether the
unit fires in it. AUROC, chance 0.5. Units that read and do not write (clusters, functions) have none, nor has the
untrained control, since another network would have to be steered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from eval.explanation.explainers import Explanation
from eval.explanation.records import Book, Record
from eval.explanation.scoring.classification import Question

HEAD_TOKENS = 8


class Steering(Protocol):
    """Continues texts with a unit (by its number) raised by so much: the new tokens of each; or why it cannot."""

    def steer(self, unit: int, by: float, heads: Sequence[Sequence[str]], seed: int) -> list[tuple[str, ...]] | str: ...


def steered_questions(
    book: Book, unit: int, explanation: Explanation, steering: Steering, count: int, seed: int
) -> list[Question] | str:
    """``count`` continuations of each kind as questions; or the reason why there are none."""
    heads = [record.tokens[:HEAD_TOKENS] for record in book.random(unit, "score", count)]
    out: list[Question] = []
    for by in (float(book.scale[unit]) * int(book.signs[unit]), 0.0):
        texts = steering.steer(unit, by, heads, seed)
        if isinstance(texts, str):
            return texts
        for text in texts:
            if text:
                record = Record(text, (), np.zeros(len(text)), -1, -1)
                out.append(Question("detection", explanation, record, (False,) * len(text), by != 0))
    return out
