"""What a language model is shown of a unit before it says when the unit fires.

| style | shown |
|---|---|
| ``top`` | the strongest windows of the explain documents [B23] |
| ``quantiles`` | windows from its whole range, at equal steps of rank: the strongest to the weakest that fires |
| ``contrastive`` | the strongest windows, then near misses: silent ones nearest to them by activation and by text |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.errors import known_name
from eval.explanation.explainers import Chat, ChatExplainer, marked_text, strongest_tokens
from eval.explanation.prompts import Message, load_prompt
from eval.explanation.records import Book, Record
from eval.explanation.scoring.examples import firing, hard_negatives

STYLES = ("top", "quantiles", "contrastive")


class StyledExplainer(ChatExplainer):
    """`ChatExplainer` that is shown the windows of a style. Raises `UserError` for an unknown one."""

    def __init__(self, chat: Chat, style: str, *, examples: int = 5) -> None:
        super().__init__(chat, examples=examples)
        self.style = known_name(style, STYLES, "style")

    def prompt(self, book: Book, unit: int) -> list[Message]:
        """The conversation that asks for this unit's explanation."""
        if self.style == "top":
            return super().prompt(book, unit)
        scale = float(book.scale[unit])
        if self.style == "quantiles":
            records = across_the_range(book, unit, self.examples)
            return self._asked("explain", _numbered(records, scale), records, scale)
        records = book.top(unit, "explain", self.examples)
        misses = hard_negatives(book, unit, records, self.examples, split="explain")
        silent = "\n".join(f"{n}. {plain_text(record)}" for n, record in enumerate(misses, start=1)) or "none"
        body = f"Fires:\n{_numbered(records, scale)}\nDoes not fire:\n{silent}"
        return self._asked("explain_contrast", body, records, scale)

    def _asked(self, prompt: str, body: str, records: Sequence[Record], scale: float) -> list[Message]:
        strongest = ", ".join(f"<<{token}>> {level}" for token, level in strongest_tokens(records, scale))
        return [*load_prompt(prompt), {"role": "user", "content": f"{body}\nStrongest: {strongest}"}]


def across_the_range(book: Book, unit: int, count: int) -> list[Record]:
    """Up to ``count`` windows that fire, their peaks at equal steps of rank from the strongest to the weakest."""
    records = {one.window: one for one in (*firing(book, unit, split="explain"), *book.random(unit, "explain"))}
    fires = sorted((one for one in records.values() if one.values.max() > 0), key=lambda one: -float(one.values.max()))
    chosen = np.unique(np.linspace(0, len(fires) - 1, min(count, len(fires))).round().astype(int)) if fires else ()
    return [fires[place] for place in chosen]


def plain_text(record: Record, context: int = 14) -> str:
    """The text around a window's peak, with nothing marked."""
    return marked_text(record, float("inf"), context)


def _numbered(records: Sequence[Record], scale: float) -> str:
    return "\n".join(f"{n}. {marked_text(record, scale)}" for n, record in enumerate(records, start=1))
