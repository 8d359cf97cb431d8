"""Token ids of documents, and which of them count: whole documents, whatever the tokenizer was told before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from eval.errors import UserError
from llm_codes.content_hashes import backend_sha256, uncut
from llm_codes.encoding.chats import Span, chat_text, check_template, role_spans
from llm_codes.encoding.document import Document
from llm_codes.encoding.kept_tokens import KeptTokens


@dataclass(frozen=True)
class Encoded:
    """A document as token ids, int32 [token].

    counted: which tokens statistics are over (those of the roles asked for); `None` for all.
    """

    tokens: Int[np.ndarray, " token"]
    counted: Bool[np.ndarray, " token"] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def count(self, start: int, end: int) -> int:
        """How many tokens from `start` to before `end` count."""
        return int(min(end, len(self)) - start if self.counted is None else self.counted[start:end].sum())

    def without_first(self, token: int) -> Encoded:
        """Less a first token: windows get a BOS of their own."""
        if not len(self.tokens) or self.tokens[0] != token:
            return self
        return Encoded(self.tokens[1:], None if self.counted is None else self.counted[1:])


class DocumentEncoder:
    """From documents to token ids, of one tokenizer.

    chat_template: the documents are chats, written with the tokenizer's template. roles: whose messages count.

    Raises:
        UserError: a template asked for that is not there; roles without a tokenizer that says which characters a token
            stands for.
    """

    def __init__(self, tokenizer: Any, *, chat_template: bool = False, roles: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.chat_template, self.roles = chat_template, tuple(roles)
        if chat_template:
            check_template(tokenizer)
        if roles and getattr(tokenizer, "backend_tokenizer", None) is None:
            raise UserError(
                "expected a fast tokenizer, which knows the characters of a token, for --roles; got "
                f"{type(tokenizer).__name__}; leave out --roles"
            )
        self._of_texts = text_encoder(tokenizer, characters=bool(roles))
        self._size = len(tokenizer) if hasattr(tokenizer, "__len__") else None

    def __call__(self, documents: Sequence[Document]) -> list[Encoded]:
        """Every document, in order.

        Raises:
            UserError: a chat without `chat_template`, anything else with it, an id outside the vocabulary.
        """
        written = [self._text(document) for document in documents if not document.token_ids]
        found = zip(written, self._of_texts(written) if written else [], strict=True)
        return [self._of_ids(one) if one.token_ids else self._of_text(one, *next(found)) for one in documents]

    def provenance(self) -> dict[str, Any]:
        """The template by its content, and whose messages count; nothing where documents are texts."""
        if not self.chat_template:
            return {}
        template = hashlib.sha256(repr(self.tokenizer.chat_template).encode()).hexdigest()
        return {"chat_template_sha256": template, "roles": list(self.roles) or "all"}

    def _text(self, document: Document) -> str:
        if document.messages and not self.chat_template:
            raise UserError(f"expected a text in {document.name}; got a chat; pass --chat-template")
        if self.chat_template and not document.messages:
            raise UserError(
                f"expected a chat in {document.name}, a list of messages with role and content; got a text; pass "
                "--text-column, or leave out --chat-template"
            )
        return chat_text(document, self.tokenizer) if document.messages else document.text

    def _of_ids(self, document: Document) -> Encoded:
        if self.chat_template:
            raise UserError(
                f"expected a chat in {document.name}; got token ids, which are no messages; leave out --chat-template"
            )
        return Encoded(self._checked(document))

    def _of_text(self, document: Document, text: str, found: tuple[np.ndarray, np.ndarray]) -> Encoded:
        tokens, spans = found
        if not self.roles:
            return Encoded(tokens)
        return Encoded(tokens, _within(spans, role_spans(document, self.tokenizer, text, self.roles)))

    def _checked(self, document: Document) -> np.ndarray:
        ids = np.asarray(document.token_ids, dtype=np.int64)
        wrong = ids[(ids < 0) | (ids >= self._size)] if self._size is not None else ids[ids < 0]
        if len(wrong):
            raise UserError(
                f"expected token ids below {self._size}, the size of the tokenizer; got {int(wrong[0])} in "
                f"{document.name}; tokenise with the model's own tokenizer"
            )
        return ids.astype(np.int32)


def _within(tokens: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """Which tokens (first and last character each) have a character in one of the spans."""
    first, last = tokens.reshape(-1, 2).T
    inside = np.zeros(len(first), dtype=bool)
    for start, end in spans:
        inside |= (first < end) & (last > start) & (last > first)
    return inside


def encode(texts: Sequence[str], tokenizer: Any) -> list[np.ndarray]:
    """Token ids of each text, int32 [token], without special tokens; whole documents, however long."""
    return [tokens for tokens, _ in text_encoder(tokenizer)(texts)] if texts else []


def text_encoder(
    tokenizer: Any, *, characters: bool = False
) -> Callable[[Sequence[str]], list[tuple[np.ndarray, np.ndarray]]]:
    """A function from texts to token ids, and the first and last character of each, that cuts and pads nothing,
    whatever the tokenizer was told before.

    A fast tokenizer keeps the truncation and padding of its last call (or of its file): texts go through a copy with
    both off, and the caller's tokenizer stays as it is. What it gives is kept between runs (`KeptTokens`).
    """
    backend, none = getattr(tokenizer, "backend_tokenizer", None), np.empty((0, 2), dtype=int)
    if backend is not None:  # quicker, and silent about texts longer than the model's context
        whole = uncut(backend)

        def encode_fast(texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
            encodings = whole.encode_batch(list(texts), add_special_tokens=False)
            return [
                (np.asarray(one.ids, np.int32), np.asarray(one.offsets) if characters else none) for one in encodings
            ]

        return KeptTokens(encode_fast, lambda: backend_sha256(whole), characters=characters)

    def encode_slow(texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        ids = tokenizer(list(texts), add_special_tokens=False, truncation=False, padding=False, verbose=False)
        return [(np.asarray(one, dtype=np.int32), none) for one in ids["input_ids"]]

    return encode_slow
