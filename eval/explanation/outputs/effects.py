"""The tokens that a unit makes likelier and less likely [Gur-Arieh et al. 2025, sections 3.1, 3.2].

| effect | what is ranked |
|---|---|
| ``logits`` | the direct effect: what the unit writes, through the final norm's gain and the unembedding; what later \
layers make of it is left out (their VocabProj) |
| ``steering`` | the mean change of every token's logit over texts of the explain documents, with the unit raised by \
its largest activation there at every position (their TokenChange) |

Axes: ``token`` (of the vocabulary). Only differences between tokens count: an effect has mean 0 over the vocabulary. A
unit that reads and does not write (a cluster, a function of the activations) has neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eval.errors import UserError
from eval.explanation.outputs.interface import Outputs
from eval.explanation.records import Book

SHOWN_TOKENS = 12
TEXTS = 8
"""Texts of the explain documents that a unit is raised in."""
TEXT_TOKENS = 16


@dataclass(frozen=True)
class Effect:
    """Tokens as text with the change of their logit, the strongest first: what is promoted, and what is suppressed."""

    promoted: tuple[tuple[str, float], ...]
    suppressed: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Does:
    """What one unit of a book does: computed when it is asked for, with the sign that the unit is read with.

    Raises `UserError` for a book without a model, and a unit that writes nothing.
    """

    book: Book
    unit: int

    def logits(self, count: int = SHOWN_TOKENS) -> Effect:
        """The direct effect on the logits."""
        found = self._outputs.direct(self.unit)
        return self._effect(found if isinstance(found, str) else found * int(self.book.signs[self.unit]), count)

    def steering(self, count: int = SHOWN_TOKENS) -> Effect:
        """The change of the logits when the unit is raised."""
        texts = [record.ids[:TEXT_TOKENS] for record in self.book.random(self.unit, "explain", TEXTS)]
        by = float(self.book.scale[self.unit]) * int(self.book.signs[self.unit])
        return self._effect(self._outputs.steered(self.unit, by, texts), count)

    @property
    def _outputs(self) -> Outputs:
        if self.book.outputs is None:
            raise UserError("expected records of a model, which say what a unit does; these hold activations alone")
        return self.book.outputs

    def _effect(self, change: Float[np.ndarray, " token"] | str, count: int) -> Effect:
        if isinstance(change, str):
            raise UserError(change)
        return effect_of(change, self._outputs.strings, count)


def effect_of(
    change: Float[np.ndarray, " token"], strings: Callable[[Sequence[int]], list[str]], count: int = SHOWN_TOKENS
) -> Effect:
    """The ``count`` tokens whose change is largest and smallest, of those that stand for a text of their own.

    Half a character, and a token without text, is passed over: nobody can read it.
    """
    change = np.asarray(change, dtype=float) - float(np.mean(change))
    return Effect(*(_ranked(change, order, strings, count) for order in (np.argsort(-change), np.argsort(change))))


def _ranked(
    change: np.ndarray, order: np.ndarray, strings: Callable[[Sequence[int]], list[str]], count: int
) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = {}
    for first in range(0, len(order), 4 * count):
        some = order[first : first + 4 * count].tolist()
        for token, text in zip(some, strings(some), strict=True):
            if text.strip() and "\ufffd" not in text and len(found) < count:
                found.setdefault(text, round(float(change[token]), 4))
        if len(found) == count:
            break
    return tuple(found.items())
