"""A corpus as the model meets it: documents of one split, tokenised once, cut into windows as each lens asks.

`TokenisedDocuments` reads no more than a view needs and never tokenises a document twice; a view (`windows`) depends on
what it asks for and never on what was asked before. `load_corpus` is both in one call.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from eval.errors import UserError, known_name
from eval.progress import say
from llm_codes.configs.inputs import SPLITS, InputsOptions, WindowsOptions
from llm_codes.documents import Source, open_source
from llm_codes.encoding.document import Document
from llm_codes.encoding.encoder import DocumentEncoder, Encoded
from llm_codes.windows import MINIMUM_WINDOW, Batch, Corpus, pack, sample

__all__ = ["MINIMUM_WINDOW", "SPLITS", "Batch", "Corpus", "TokenisedDocuments", "load_corpus"]

POOL_TOKENS = 4_000_000  # tokenised before sampling, where a corpus has so many
CHUNK = 32  # documents tokenised at a time


class TokenisedDocuments:
    """The documents of one split of a source, and their tokens, read as far as a view has needed so far.

    source: see `llm_codes.documents`. tokenizer: a `transformers` tokenizer. split: `train`, `held-out` (every tenth
    document) or `all`. seed: the order in which documents are read and windows are drawn; not the split.
    chat_template, roles: see `llm_codes.encoding.encoder`.
    """

    def __init__(
        self,
        source: Any,
        tokenizer: Any,
        *,
        split: str = InputsOptions.split,
        seed: int = 0,
        document_separator: str | None = None,
        text_column: str = "text",
        encoding: str = "utf-8",
        chat_template: bool = False,
        roles: Sequence[str] = (),
    ) -> None:
        self.split = known_name(split, SPLITS, "split")
        self.seed = seed
        self.tokenizer = tokenizer
        self._encoder = DocumentEncoder(tokenizer, chat_template=chat_template, roles=roles)
        self._roles, self._chats = tuple(roles), self._encoder.provenance()
        reading = {"document_separator": document_separator, "text_column": text_column, "encoding": encoding}
        opened = open_source(source, **reading, seed=seed)
        self.name = str(source) if isinstance(source, (str, os.PathLike)) else opened.kind
        self.kind, self.streamed = opened.kind, opened.streamed
        self.skipped: list[str] = []  # documents that are no text
        self._waiting = _in_split(replace(opened, documents=self._readable(opened.documents)), self.split, seed)
        self._read: list[tuple[list[Document], list[Encoded]]] = []  # chunks of documents with their tokens

    def _readable(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents that are text; the others are named and counted."""
        for document in documents:
            if document.is_text:
                yield document
            else:
                self.skipped.append(document.name)
                say(f"{document.name} of {self.name} holds half a character and is skipped")

    def prefix(self, enough: float) -> tuple[list[Document], list[Encoded]]:
        """The first documents and their tokens, as many chunks as hold `enough` tokens (all, where there are fewer)."""
        documents: list[Document] = []
        tokens: list[Encoded] = []
        count = number = 0
        while count < enough:
            if number == len(self._read) and not self._read_chunk():
                break
            some, encoded = self._read[number]
            documents, tokens = documents + some, tokens + encoded
            count += sum(map(len, encoded))
            number += 1
        return documents, tokens

    def _read_chunk(self) -> bool:
        some = list(islice(self._waiting, CHUNK))
        if some:
            self._read.append((some, self._encoder(some)))
        return bool(some)

    def windows(self, context: int, n_tokens: int | None = None, *, prepend_bos: bool = True) -> Corpus:
        """Windows of `context` positions: all of them, or the fewest that hold `n_tokens` tokens of text.

        They are drawn without replacement and over all documents read. Reading stops at `POOL_TOKENS` or four times
        `n_tokens`, whichever is more (a streamed source: at four times `n_tokens`). The corpus may hold fewer tokens
        than asked for where the source does.

        Raises:
            UserError: no document in the split, no window long enough, a streamed source without `n_tokens`, no BOS or
                EOS in the tokenizer, a document that is no chat where chats are read.
        """
        bos = _bos(self.tokenizer) if prepend_bos else None
        length = context - int(prepend_bos)
        if length < 1:
            raise UserError(f"expected a context of at least 2 tokens; got {context}")
        if n_tokens is not None and n_tokens < 1:
            raise UserError(f"expected at least 1 token to read; got {n_tokens}; mend --tokens")
        if self.streamed and n_tokens is None:
            raise UserError(f"{self.name} is streamed and may not end; say how many tokens to read with --tokens")
        enough = float("inf") if n_tokens is None else max(4 * n_tokens, 0 if self.streamed else POOL_TOKENS)
        documents, tokens = self.prefix(enough)
        if not documents:
            raise UserError(
                f"no document of {self.name} falls in split {self.split!r}; use split all, or give more documents"
            )
        names, own = [document.name for document in documents], [not document.text for document in documents]
        encoded = (
            tokens
            if bos is None
            else [one.without_first(bos) if o else one for one, o in zip(tokens, own, strict=True)]
        )
        corpus = pack(encoded, names, length, bos, _padding(self.tokenizer))
        if not len(corpus):
            said = f" said by {', '.join(self._roles)}" if self._roles else ""
            raise UserError(f"no document of {self.name} has {MINIMUM_WINDOW} tokens{said}; expected longer texts")
        return sample(replace(corpus, provenance=self._provenance(documents, tokens)), n_tokens, self.seed)

    def _provenance(self, documents: list[Document], tokens: list[Encoded]) -> dict[str, Any]:
        return {
            "source": self.name,
            "kind": self.kind,
            "split": self.split,
            "seed": self.seed,
            "n_documents_read": len(documents),
            "n_tokens_read": int(sum(map(len, tokens))),
            "sha256": documents_sha256(documents),
            **self._chats,
        } | ({"skipped": list(self.skipped)} if self.skipped else {})

    def describe(self) -> dict[str, Any]:
        """What the documents are, whatever a view takes of them: all of the split (of a stream: those read so far)."""
        documents = [document for some, _ in self._read for document in some]
        if not self.streamed:
            rest = list(self._waiting)
            documents += rest
            self._waiting = iter(rest)
        return {
            "source": self.name,
            "kind": self.kind,
            "split": self.split,
            "n_documents": len(documents),
            "sha256": documents_sha256(documents),
            **self._chats,
        }


def documents_sha256(documents: Sequence[Document]) -> str:
    """The content of a set of documents, whatever their order and names."""
    return hashlib.sha256("".join(sorted(document.sha256 for document in documents)).encode()).hexdigest()


def load_corpus(
    source: Any,
    model: Any,
    *,
    context: int | None = None,
    n_tokens: int | None = WindowsOptions.tokens,
    split: str = InputsOptions.split,
    seed: int = 0,
    prepend_bos: bool = True,
    document_separator: str | None = None,
    text_column: str = "text",
    encoding: str = "utf-8",
    chat_template: bool = False,
    roles: str | Sequence[str] = (),
) -> Corpus:
    """Read, split by document, tokenise and pack a corpus.

        load_corpus(["a text", "another"], model)

    Args:
        source: a name or path, a list of texts or rows, token ids [document, token], a DataFrame, a `datasets.Dataset`
            (see `llm_codes.documents`). A first BOS of a chat or of token ids gives way to the window's own.
        model: whose tokenizer reads it: a `Model`, or a `transformers` tokenizer.
        context: positions in a window, BOS included; default 256, and at most the model's context.
        n_tokens: the fewest windows that hold this many tokens of text (see `TokenisedDocuments.windows`); `None` takes
            every window. The default is the command's. Local text is held in memory.
        split: `train`, `held-out` (every tenth document) or `all`.
        seed: the order of the windows, and so the choice of `n_tokens`; not the split.
        prepend_bos: start every window with the tokenizer's BOS (its EOS where it has no BOS).
        document_separator: a regular expression that splits a text file into documents.
        text_column: the column of rows. encoding: of text files.
        chat_template: the documents are chats (lists of messages with `role` and `content`), written with the
            tokenizer's own template. roles: whose messages count in statistics, e.g. `"assistant"`; default all
            positions, turn markers included. Everything is read either way.

    Returns:
        A `Corpus`. It may hold fewer than `n_tokens` tokens where the source does: `n_tokens` says how many.

    Raises:
        UserError: unreadable source (see `open_source`), no document in the split, no window long enough, a streamed
            source without `n_tokens`, no BOS or EOS in the tokenizer.
    """
    tokenizer = getattr(model, "tokenizer", model)
    longest = int(getattr(model, "context", WindowsOptions.context))
    documents = TokenisedDocuments(
        source,
        tokenizer,
        split=split,
        seed=seed,
        document_separator=document_separator,
        text_column=text_column,
        encoding=encoding,
        chat_template=chat_template,
        roles=[roles] if isinstance(roles, str) else roles,
    )
    wanted = min(WindowsOptions.context, longest) if context is None else context
    return documents.windows(wanted, n_tokens, prepend_bos=prepend_bos)


def _bos(tokenizer: Any) -> int:
    """The tokenizer's BOS, else its EOS, with which GPT-2's kin begin a text."""
    known = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]
    if not known:
        raise UserError(
            "expected a tokenizer with a BOS or EOS token to prepend, it has neither; pass prepend_bos=False"
        )
    return int(known[0])


def _padding(tokenizer: Any) -> int:
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id, 0)
    return next(int(token) for token in candidates if token is not None)


def _in_split(opened: Source, split: str, seed: int) -> Iterator[Document]:
    """The documents of the split that have text; local ones in an order shuffled by the seed, a lone one in `train`."""
    documents = opened.documents
    if not opened.streamed:
        listed = [document for document in documents if not document.is_empty]
        if len(listed) == 1:
            yield from listed if split != "held-out" else []
            return
        documents = [listed[number] for number in np.random.default_rng(seed).permutation(len(listed))]
    for document in documents:
        if not document.is_empty and (split == "all" or document.held_out == (split == "held-out")):
            yield document
