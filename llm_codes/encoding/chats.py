"""Chats as a model reads them: written with the tokenizer's own template, and which characters each role said.

The template is run twice, on the messages and on placeholders in their place; what stands between the placeholders is
the template's own (role names, turn markers, a default system message). Put together again with the contents it must
give the first text, character by character: then the places of the contents are exact. A template that rewrites what a
message says (drops earlier reasoning, say) fails that, and its roles are refused rather than guessed.

Positions of a role are the tokens of its contents; turn markers and role names belong to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from eval.errors import UserError
from llm_codes.encoding.document import Document, Message

Span = tuple[int, int]
PLACEHOLDER = "\ue000{number}\ue001"
PLACEHOLDERS = re.compile("\ue000(\\d+)\ue001")


def check_template(tokenizer: Any) -> None:
    """Raises `UserError` for a tokenizer without a chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "expected a tokenizer with a chat template; this one has none; use an instruct model's, or leave out "
            "--chat-template"
        )


def chat_text(document: Document, tokenizer: Any) -> str:
    """The chat as one text. Raises `UserError` where the template refuses the messages, with its reason."""
    return _written(document.messages, tokenizer, document.name)


def _written(messages: Sequence[Message], tokenizer: Any, name: str) -> str:
    import jinja2

    said = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return str(tokenizer.apply_chat_template(said, tokenize=False))
    except jinja2.TemplateError as error:
        line = " ".join(str(error).split())[:160]
        raise UserError(f"the chat template refuses {name}: {line}; mend its messages, or leave it out") from error


def role_spans(document: Document, tokenizer: Any, text: str, roles: Sequence[str]) -> list[Span]:
    """Where in `text` (see `chat_text`) the messages of these roles are, as character spans, in order.

    Raises:
        UserError: the template changes what a message says, so that its place is not known.
    """
    messages = document.messages
    marked = [Message(one.role, PLACEHOLDER.format(number=number)) for number, one in enumerate(messages)]
    parts = PLACEHOLDERS.split(_written(marked, tokenizer, document.name))
    shown = [int(number) for number in parts[1::2]]
    for contents in ([one.content for one in messages], [one.content.strip() for one in messages]):
        pieces = [contents[int(part)] if place % 2 else part for place, part in enumerate(parts)]
        if "".join(pieces) != text:
            continue
        ends = [0]
        for piece in pieces:
            ends.append(ends[-1] + len(piece))
        places = [(ends[2 * place + 1], ends[2 * place + 2]) for place in range(len(shown))]
        return [span for number, span in zip(shown, places, strict=True) if messages[number].role in roles]
    raise UserError(
        f"the chat template changes what messages of {document.name} say, so that --roles cannot be told apart there; "
        "leave out --roles"
    )
