"""From records to words. An explainer sees a unit's explain records and says when it fires.

A ``ChatExplainer`` writes a prompt and leaves the asking to a ``Chat``: a local model or a server. The explainers that
need no language model print a rule (`rules.explainers`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eval.explanation.prompts import Message, load_prompt
from eval.explanation.records import Book, Record, levels
from eval.explanation.servers.answers import ONLY_REASONING, phrase_of
from eval.explanation.tokens import visible

MAXIMUM_EXPLANATION_TOKENS = 40
MARKED_LEVEL = 4  # of 10: what is marked as active in a prompt


@dataclass(frozen=True)
class Explanation:
    """What was said about a unit, or why nothing was. The text is all of it: a simulator and a judge get nothing else.

    bits: its description length (`rules.bits`); ``None`` where it is not known.
    """

    text: str
    reason: str | None = None
    bits: float | None = None

    @property
    def is_defined(self) -> bool:
        return self.reason is None


@dataclass(frozen=True)
class Reply:
    """A chat model's answer, or the reason why there is none."""

    text: str = ""
    reason: str | None = None
    top_logprobs: tuple[tuple[str, dict[str, float]], ...] | None = None


class Chat(Protocol):
    """Something that continues a conversation; many at a time, in order."""

    name: str

    def ask(self, conversations: Sequence[list[Message]], *, maximum_tokens: int) -> list[Reply]: ...


class Explainer(Protocol):
    """Explains many units of a book at once (so that requests can run side by side)."""

    name: str

    def explain(self, book: Book, units: Sequence[int]) -> list[Explanation]: ...


def active_tokens(record: Record, scale: float) -> np.ndarray:
    """Which tokens count as active [position]: level 4 or more, or the record's highest where that is less."""
    level = levels(record.values, scale)
    return (level >= min(MARKED_LEVEL, int(level.max()))) & (level > 0)


class ChatExplainer:
    """Asks a chat model, few-shot, with the unit's top windows; the answer is one short phrase."""

    def __init__(self, chat: Chat, *, examples: int = 5, maximum_tokens: int = MAXIMUM_EXPLANATION_TOKENS) -> None:
        self.chat = chat
        self.examples = examples
        self.maximum_tokens = maximum_tokens
        self.name = chat.name

    def explain(self, book: Book, units: Sequence[int]) -> list[Explanation]:
        problems = {unit: book.problem(unit) for unit in units}
        asked = [unit for unit in units if not problems[unit]]
        conversations = [self.prompt(book, unit) for unit in asked]
        replies = dict(zip(asked, self.chat.ask(conversations, maximum_tokens=self.maximum_tokens), strict=True))
        return [
            Explanation("", reason=problems[unit]) if problems[unit] else parse_explanation(replies[unit])
            for unit in units
        ]

    def prompt(self, book: Book, unit: int) -> list[Message]:
        """The conversation that asks for this unit's explanation."""
        records = book.top(unit, "explain", self.examples)
        scale = float(book.scale[unit])
        body = "\n".join(f"{n}. {marked_text(record, scale)}" for n, record in enumerate(records, start=1))
        strongest = ", ".join(f"<<{token}>> {level}" for token, level in strongest_tokens(records, scale))
        return [*load_prompt("explain"), {"role": "user", "content": f"{body}\nStrongest: {strongest}"}]


def marked_text(record: Record, scale: float, context: int = 14) -> str:
    """The record's text around its peak, tokens at level 4 or more in double angle brackets."""
    peak = int(np.argmax(record.values))
    shown = slice(max(0, peak - context), peak + context // 2)
    return mark(record.tokens[shown], active_tokens(record, scale)[shown])


def mark(strings: Sequence[str], active: Sequence[bool] | np.ndarray) -> str:
    """Tokens joined to text, the active ones in double angle brackets (leading spaces stay outside)."""
    pieces = []
    for token, chosen in zip(strings, active, strict=True):
        word = visible(token)
        pieces.append(f"{word[: len(word) - len(word.lstrip())]}<<{word.strip()}>>" if chosen else word)
    return "".join(pieces).strip()


def strongest_tokens(records: Sequence[Record], scale: float, count: int = 8) -> list[tuple[str, int]]:
    """The most active distinct tokens of the records, with their level."""
    best: dict[str, int] = {}
    for record in records:
        for token, level in zip(record.tokens, levels(record.values, scale), strict=True):
            word = visible(token).strip()
            best[word] = max(best.get(word, 0), int(level))
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    return [(token, level) for token, level in ranked if level > 0][:count]


REFUSAL = re.compile(r"^(i'?m sorry|i am sorry|sorry|i can(?:'|no)t|i cannot|as an ai)\b", re.IGNORECASE)


def parse_explanation(reply: Reply) -> Explanation:
    """The phrase of an answer (`phrase_of`); an empty answer or a refusal is undefined, with the reason."""
    if reply.reason:
        return Explanation("", reason=reply.reason)
    text = phrase_of(reply.text)
    if not text:
        return Explanation("", reason=ONLY_REASONING if reply.text.strip() else "the explainer answered with nothing")
    if REFUSAL.match(text.replace("\u2019", "'")):
        return Explanation("", reason=f"the explainer refused: {text[:80]}")
    return Explanation(text)
