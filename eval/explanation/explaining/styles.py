"""What a language model is shown of a unit before it says when the unit fires.

| style | shown |
|---|---|
| ``top`` | the strongest windows of the explain documents [B23] |
| ``quantiles`` | windows from its whole range, at equal steps of rank: the strongest to the weakest that fires |
| ``contrastive`` | the strongest windows, then near misses: silent ones nearest to them by activation and by text |
| ``logit-effect`` | the strongest windows, and the tokens whose logits it raises and lowers directly |
| ``output`` | no window: what it does to the logits, directly and when it is raised (`outputs.effects`) |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.errors import UserError, known_name
from eval.explanation.explainers import (
    Chat,
    ChatExplainer,
    Explanation,
    marked_text,
    strongest_tokens,
)
from eval.explanation.outputs.effects import Does
from eval.explanation.prompts import Message, load_prompt
from eval.explanation.records import Book, Record
from eval.explanation.scoring.examples import firing, hard_negatives
from eval.explanation.tokens import visible

INPUT_STYLES = ("top", "quantiles", "contrastive")
"""What is shown of a unit's windows alone; `best` tries these."""
LOGIT_EFFECT, OUTPUT = "logit-effect", "output"
STYLES = (*INPUT_STYLES, LOGIT_EFFECT, OUTPUT)


class StyledExplainer(ChatExplainer):
    """`ChatExplainer` that is shown the windows of a style. Raises `UserError` for an unknown one."""

    def __init__(self, chat: Chat, style: str, *, examples: int = 5) -> None:
        super().__init__(chat, examples=examples)
        self.style = known_name(style, STYLES, "style")

    def explain(self, book: Book, units: Sequence[int]) -> list[Explanation]:
        """One explanation for each unit; where a style shows what units do, a unit that writes nothing has none."""
        if self.style not in (LOGIT_EFFECT, OUTPUT):
            return super().explain(book, units)
        silent = {unit: reason for unit in units if (reason := _writes_nothing(book, unit))}
        told = iter(super().explain(book, [unit for unit in units if unit not in silent]))
        return [Explanation("", reason=silent[unit]) if unit in silent else next(told) for unit in units]

    def prompt(self, book: Book, unit: int) -> list[Message]:
        """The conversation that asks for this unit's explanation."""
        if self.style == "top":
            return super().prompt(book, unit)
        scale = float(book.scale[unit])
        if self.style == OUTPUT:
            return [*load_prompt("explain_output"), {"role": "user", "content": what_it_does(Does(book, unit))}]
        if self.style == "quantiles":
            records = across_the_range(book, unit, self.examples)
            return self._asked("explain", _numbered(records, scale), records, scale)
        records = book.top(unit, "explain", self.examples)
        if self.style == LOGIT_EFFECT:
            asked = self._asked("explain_effect", _numbered(records, scale), records, scale)
            asked[-1]["content"] += f"\n{_direct(Does(book, unit))}"
            return asked
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


def what_it_does(does: Does) -> str:
    """What a unit does to the logits, in the lines of a prompt."""
    return f"{_direct(does)}\nWhen it is raised: {_listed(does.steering().promoted)}"


def _direct(does: Does) -> str:
    effect = does.logits()
    return f"Makes likelier: {_listed(effect.promoted)}\nMakes less likely: {_listed(effect.suppressed)}"


def _listed(tokens: Sequence[tuple[str, float]]) -> str:
    return " | ".join(visible(token) for token, _ in tokens)


def _writes_nothing(book: Book, unit: int) -> str | None:
    """Why nothing can be said about what a unit does, or ``None``."""
    try:
        Does(book, unit).logits()
    except UserError as error:
        return str(error)
    return None
