"""Windows as prompts: one of each document, so that documents are what intervals are over."""

from __future__ import annotations

from llm_codes.corpus import Corpus


def one_window_a_document(corpus: Corpus, count: int, length: int) -> list[list[int]]:
    """The first windows of different documents, cut to a length; those with less text are left out."""
    out: dict[int, list[int]] = {}
    for number in range(len(corpus)):
        tokens = corpus.tokens[number][: min(length, int(corpus.lengths[number]))].tolist()
        if len(tokens) == length and len(out) < count:
            out.setdefault(int(corpus.document[number]), tokens)
    return list(out.values())
