"""Prompts that the model can do, found in held-out text: places where its most probable next token is the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from eval.errors import UserError
from eval.results import Result, result
from llm_codes.corpus import Corpus
from llm_codes.models import Model

KINDS: tuple[str, ...] = ("repeated word", "new word", "number", "bracket or quotation mark")
SHORTEST = 8  # tokens before the one that is foretold, BOS included


@dataclass(frozen=True)
class Prompt:
    """tokens: up to the place; target: the right next token; foil: the most probable other one; document: its text."""

    kind: str
    tokens: tuple[int, ...]
    target: int
    foil: int
    document: int


@result
class KindSummary(Result):
    """places: of the kind in the text read; right: share of them where the model's most probable token is the right
    one; prompts: taken, of places that are right with enough probability, at most one a document before a second."""

    kind: str
    places: int
    right: float | None
    prompts: int
    documents: int


def kind_of(text: str, earlier: Sequence[str]) -> str | None:
    """The kind of a token after these tokens; none where it is of no kind."""
    word = text.strip()
    if any(character.isdigit() for character in word):
        return "number"
    if any(character in '()[]"“”' for character in word):
        return "bracket or quotation mark"
    if text.startswith(" ") and len(word) >= 4 and word.isalpha():
        return "repeated word" if text in earlier else "new word"
    return None


def find_prompts(
    model: Model, corpus: Corpus, per_kind: int, probability: float, batch_size: int = 16
) -> tuple[list[Prompt], list[KindSummary]]:
    """Up to `per_kind` prompts of each kind, spread over documents, and how well the model does on each kind.

    Raises:
        UserError: no place of any kind that the model gets right.
    """
    places: dict[str, int] = dict.fromkeys(KINDS, 0)
    right: dict[str, int] = dict.fromkeys(KINDS, 0)
    found: dict[str, list[Prompt]] = {kind: [] for kind in KINDS}
    for start in range(0, len(corpus), batch_size):
        rows = np.asarray(corpus.tokens[start : start + batch_size])
        mask, lengths = (part[start : start + batch_size] for part in (corpus.mask, corpus.lengths))
        with torch.no_grad():
            shares, best = model.logits(torch.tensor(rows, dtype=torch.long)).softmax(-1).topk(2, dim=-1)
        for row in range(len(rows)):
            words = model.token_strings(rows[row].tolist())
            for place in range(SHORTEST, rows.shape[1]):
                kind = kind_of(words[place], words[1:place]) if place < lengths[row] and mask[row, place] else None
                if kind is None:
                    continue
                places[kind] += 1
                top, target = best[row, place - 1].tolist(), int(rows[row, place])
                right[kind] += top[0] == target
                if top[0] == target and float(shares[row, place - 1, 0]) >= probability:
                    document = int(corpus.document[start + row])
                    tokens = tuple(rows[row, :place].tolist())
                    found[kind].append(Prompt(kind, tokens, target, top[1], document))
    taken = {kind: spread(found[kind], per_kind) for kind in KINDS}
    prompts = [prompt for kind in KINDS for prompt in taken[kind]]
    if not prompts:
        raise UserError("expected places that the model gets right; got none; raise --tokens or lower --probability")
    return prompts, [
        KindSummary(
            kind,
            places[kind],
            right[kind] / places[kind] if places[kind] else None,
            len(taken[kind]),
            len({prompt.document for prompt in taken[kind]}),
        )
        for kind in KINDS
    ]


def spread(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """The first of every document, then the second of every document, and so on, up to `count`."""
    seen: dict[int, int] = {}
    rounds = []
    for number, prompt in enumerate(prompts):
        seen[prompt.document] = seen.get(prompt.document, 0) + 1
        rounds.append((seen[prompt.document], number))
    return [prompts[number] for _, number in sorted(rounds)[:count]]
