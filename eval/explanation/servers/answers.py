"""The answer in what a chat model wrote: its thinking, headings, preambles, fences and quotes taken off."""

from __future__ import annotations

import re

ONLY_REASONING = "the reply holds reasoning and no answer (raise the token limit, or use a model that answers)"
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHT = re.compile(r"\A.*</(think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_HEADING = re.compile(
    r"^[#>*_\s]*(?:(?:final |short )?(?:explanation|answer|phrase|description|summary|response)[*_]*\s*:[*_]*|"
    r"this neuron (?:fires|activates) on)\s*",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(r"^(sure|certainly|of course|okay|ok|here(?:'s| is| are)|great)\b.*[!.:]$", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}


def without_thinking(text: str) -> str:
    """The text with what stands in ``<think>`` blanked out, letter by letter (so that offsets stay).

    A block that is never closed is thinking to the end; a closing tag that was never opened ends one that began first.
    """

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    return _END_OF_THOUGHT.sub(blank, _THOUGHT.sub(blank, text))


def phrase_of(text: str) -> str:
    """The first line of an answer that is no heading, preamble or fence, without quotes; empty where there is none."""
    lines = [line.strip() for line in without_thinking(text).splitlines()]
    lines = [line for line in lines if line and not line.startswith("```")]
    while len(lines) > 1 and (lines[0].rstrip("*_").endswith(":") or _PREAMBLE.match(lines[0])):
        lines = lines[1:]
    return _bare(_HEADING.sub("", lines[0])) if lines else ""


def _bare(text: str) -> str:
    """Without the quotes or emphasis that enclose the whole."""
    text = text.strip()
    for mark in ("**", "__", "*", "_"):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
            text = text[len(mark) : -len(mark)].strip()
    closing = _QUOTES.get(text[:1])
    inner = text[1:-1]
    if closing and len(text) > 2 and text.endswith(closing) and text[0] not in inner and closing not in inner:
        return inner.strip()
    return text


def yes_or_no(text: str) -> bool | None:
    """What an answer says to a yes-or-no question; ``None`` for anything else."""
    match = re.match(r"\W*(yes|no)\b", phrase_of(text), re.IGNORECASE)
    return None if match is None else match[1].lower() == "yes"
