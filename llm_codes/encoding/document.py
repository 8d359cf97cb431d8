"""A document before it is tokenised: a text, a chat, or token ids that a script holds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

HELD_OUT_EVERY = 10


@dataclass(frozen=True)
class Message:
    """One message of a chat."""

    role: str
    content: str


Content = str | tuple[int, ...] | tuple[Message, ...]
"""What a row holds: a text, token ids, or the messages of a chat."""


@dataclass(frozen=True)
class Document:
    """A text with a name; or token ids, or messages, in place of the text.

    `position` is its place by date, where the corpus has one.
    """

    name: str
    text: str
    position: int | None = None
    token_ids: tuple[int, ...] = ()
    messages: tuple[Message, ...] = ()

    @classmethod
    def of(cls, name: str, content: Content) -> Document:
        """A document of whatever a row holds."""
        if isinstance(content, str):
            return cls(name, content)
        messages = tuple(one for one in content if isinstance(one, Message))
        if messages:
            return cls(name, "", messages=messages)
        return cls(name, "", token_ids=tuple(one for one in content if isinstance(one, int)))

    @cached_property
    def sha256(self) -> str:
        """Of the text as it is; of a chat and of token ids as JSON, which no other text of a corpus is."""
        if self.messages:
            return _digest(json.dumps([[one.role, one.content] for one in self.messages]))
        return _digest(json.dumps(self.token_ids) if self.token_ids else self.text)

    @property
    def is_text(self) -> bool:
        """Whether it can be written as UTF-8: half of a surrogate pair (`\\ud83d` in JSON) cannot."""
        try:
            for text in (self.text, *(one.content for one in self.messages)):
                text.encode()
        except UnicodeEncodeError:
            return False
        return True

    @property
    def is_empty(self) -> bool:
        return not (self.text.strip() or self.token_ids or self.messages)

    @property
    def held_out(self) -> bool:
        """Every tenth: by date where there is one, else by the hash of the content."""
        number = int(self.sha256[:12], 16) if self.position is None else self.position
        return number % HELD_OUT_EVERY == 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
