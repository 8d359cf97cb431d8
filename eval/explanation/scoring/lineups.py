"""Intruder: is there anything that a unit's windows have in common? No explanation is involved [Paulo & Belrose 2025].

A judge sees five windows with marked tokens: four in which the unit fires, one silent window with as many tokens marked
at random. Which one does not belong? Every window of every line-up is one case: balanced accuracy and AUROC of the
probability that it is the intruder, chance 0.5 for both (naming one of five at random).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from eval.explanation.explainers import Chat, active_tokens, mark
from eval.explanation.prompts import Message, load_prompt
from eval.explanation.records import Book, Record
from eval.explanation.scoring.examples import firing, silent
from eval.explanation.servers.answers import phrase_of
from eval.explanation.tokens import visible

WINDOWS = 5


@dataclass(frozen=True)
class Lineup:
    """Windows with their marked tokens, and which of them is the intruder."""

    shown: tuple[tuple[Record, tuple[bool, ...]], ...]
    intruder: int


class Picker(Protocol):
    """P(intruder) of every window of each line-up, NaN where there was no usable answer."""

    def pick(self, lineups: Sequence[Lineup]) -> Float[np.ndarray, "lineup window"]: ...


def lineups(book: Book, unit: int, count: int, seed: int) -> list[Lineup]:
    """Up to ``count`` line-ups; none where the unit fires in fewer than four of its top windows, or is never silent."""
    fires, quiet, scale = firing(book, unit), silent(book, unit), float(book.scale[unit])
    if len(fires) < WINDOWS - 1 or not quiet:
        return []
    generator = np.random.default_rng([seed, 5, unit])
    out = []
    for stranger in generator.permutation(len(quiet))[:count]:
        chosen = [fires[place] for place in generator.permutation(len(fires))[: WINDOWS - 1]]
        shown = [(record, tuple(active_tokens(record, scale).tolist())) for record in chosen]
        marked = np.zeros(len(quiet[stranger].tokens), dtype=bool)
        as_many = sum(shown[int(generator.integers(len(shown)))][1])
        marked[generator.permutation(len(marked))[:as_many]] = True
        intruder = int(generator.integers(WINDOWS))
        shown.insert(intruder, (quiet[stranger], tuple(marked.tolist())))
        out.append(Lineup(tuple(shown), intruder))
    return out


class WordPicker:
    """Without a language model: the window whose marked tokens the other windows share least."""

    def pick(self, lineups: Sequence[Lineup]) -> Float[np.ndarray, "lineup window"]:
        return np.array([self._one(lineup) for lineup in lineups]).reshape(-1, WINDOWS)

    def _one(self, lineup: Lineup) -> np.ndarray:
        marked = [_marked_words(record, chosen) for record, chosen in lineup.shown]
        shared = [np.mean([_overlap(one, other) for other in marked if other is not one]) for one in marked]
        strange = np.exp(-8 * np.array(shared))
        return strange / strange.sum()


def _marked_words(record: Record, chosen: Sequence[bool]) -> frozenset[str]:
    return frozenset(visible(t).strip().lower() for t, yes in zip(record.tokens, chosen, strict=True) if yes)


def _overlap(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / max(1, len(first | second))


class ChatPicker:
    """Asks a chat model for the number of the intruder; P from log-probabilities where it gives them."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat

    def pick(self, lineups: Sequence[Lineup]) -> Float[np.ndarray, "lineup window"]:
        replies = self.chat.ask([conversation(lineup) for lineup in lineups], maximum_tokens=2)
        found = [number_probability(reply.text, reply.top_logprobs) for reply in replies]
        return np.array(found).reshape(-1, WINDOWS)


def conversation(lineup: Lineup) -> list[Message]:
    """The prompt of one line-up."""
    texts = [f"{n}. {mark(record.tokens, chosen)}" for n, (record, chosen) in enumerate(lineup.shown, start=1)]
    return [*load_prompt("intruder"), {"role": "user", "content": "\n".join(texts)}]


def number_probability(
    text: str, top_logprobs: Sequence[tuple[str, dict[str, float]]] | None
) -> Float[np.ndarray, " window"]:
    """P(1) ... P(5) of the answer's first token; 1 for the number that was written; NaN for anything else."""
    if top_logprobs and text.strip()[:1].isdigit():
        mass = np.zeros(WINDOWS)
        for token, logprob in top_logprobs[0][1].items():
            if token.strip() in map(str, range(1, WINDOWS + 1)):
                mass[int(token) - 1] += np.exp(logprob)
        if mass.sum() > 1e-6:
            return mass / mass.sum()
    written = re.search(r"\b([1-5])\b", phrase_of(text))
    return np.eye(WINDOWS)[int(written[1]) - 1] if written else np.full(WINDOWS, np.nan)
