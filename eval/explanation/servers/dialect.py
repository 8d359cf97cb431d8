"""Which form of a request a server takes, learnt from what it refuses, and remembered.

| the server refuses | from then on |
|---|---|
| ``max_tokens`` | ``max_completion_tokens``, with room to reason (what a model thinks counts into it) |
| ``temperature`` | none is sent |
| the system role | the system text opens the first user message |
| ``top_logprobs=20`` | as many as it names, or 5 |
| a reply cut off while the model was still reasoning | room to reason |
| a JSON schema | none is sent; nor where no probe found that it is obeyed |
| log-probabilities | the caller asks in another way (`Lesson.NO_LOGPROBS`) |

The journal knows a request by its first form, so what a server was taught does not change what is found there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

REASONING_TOKENS = 4096
FEW_LOGPROBS = 5
REFUSALS = frozenset({400, 403, 422, 500, 501})


class Lesson(Enum):
    """What a refusal teaches: nothing, another form of the same request, or that log-probabilities are not given."""

    NOTHING = "nothing"
    AGAIN = "again"
    NO_LOGPROBS = "no log-probabilities"


class Dialect:
    """The form of request that one model accepts."""

    def __init__(self) -> None:
        self.completion_limit = self.no_temperature = self.no_system_role = self.reasons = False
        self.top_logprobs = 20
        self.gave_logprobs = self.json_schema = False

    def translate(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request in the form this server takes."""
        out = dict(request)
        if "max_tokens" in out and "messages" in out:
            limit = int(out.pop("max_tokens")) + (REASONING_TOKENS if self.reasons else 0)
            out["max_completion_tokens" if self.completion_limit else "max_tokens"] = limit
        if self.no_temperature:
            out.pop("temperature", None)
        if self.no_system_role and "messages" in out:
            out["messages"] = _without_system(out["messages"])
        if not self.json_schema:
            out.pop("response_format", None)
        for name in ("top_logprobs", "logprobs"):  # chat completions, completions
            if name in out and not isinstance(out[name], bool):
                out[name] = min(int(out[name]), self.top_logprobs)
        return out

    def learn(
        self, request: Mapping[str, Any], sent: Mapping[str, Any], status: int, text: str, attempt: int
    ) -> Lesson:
        """Read a refusal of ``sent`` (the translated ``request``); attempt: how often it had been tried before."""
        if status not in REFUSALS:
            return Lesson.NOTHING
        told = text.lower()
        if status in (400, 422):
            self._learn_form(sent, told)
            if self.translate(request) != sent:
                return Lesson.AGAIN
        if not wants_logprobs(sent):
            return Lesson.NOTHING
        if "logprob" in told:
            fewer = self._fewer_logprobs(told)
            if fewer:
                self.top_logprobs = min(self.top_logprobs, fewer)
            return Lesson.AGAIN if self.translate(request) != sent else Lesson.NO_LOGPROBS
        if self.gave_logprobs or (status == 500 and attempt == 0):
            return Lesson.NOTHING
        return Lesson.NO_LOGPROBS

    def _learn_form(self, sent: Mapping[str, Any], told: str) -> None:
        too_many = re.search(r"too (large|many|high|big)|at most|exceed|context length", told)
        if "max_tokens" in sent and "messages" in sent and "max_completion_tokens" in told:
            self.completion_limit = self.reasons = True
        elif "max_tokens" in sent and "messages" in sent and "max_tokens" in told and not too_many:
            self.completion_limit = self.reasons = True
        if "temperature" in sent and "temperature" in told:
            self.no_temperature = True
        if "response_format" in sent and re.search(r"response_format|schema", told):
            self.json_schema = False
        has_system = any(message["role"] == "system" for message in sent.get("messages", ()))
        if has_system and "system" in told:
            self.no_system_role = True

    def _fewer_logprobs(self, told: str) -> int | None:
        """The most log-probabilities a refusal allows, where it is about how many."""
        numbers = [int(found) for found in re.findall(r"\b\d+\b", told) if 0 < int(found) < self.top_logprobs]
        if numbers:
            return max(numbers)
        unsupported = re.search(r"support|not (allowed|available|enabled|implemented)|unknown|unrecogni[sz]ed", told)
        return FEW_LOGPROBS if "top_logprobs" in told and not unsupported else None

    def learn_from_reply(self, body: Mapping[str, Any], *, logprobs: bool) -> Lesson:
        """Read a good reply: log-probabilities work here; a reply that was still reasoning gets room and goes again."""
        self.gave_logprobs |= logprobs
        if self.reasons or not _cut_while_reasoning(body):
            return Lesson.NOTHING
        self.reasons = True
        return Lesson.AGAIN


def wants_logprobs(request: Mapping[str, Any]) -> bool:
    """Whether a request asks for log-probabilities, in either interface's way."""
    return bool(request.get("logprobs"))


def _cut_while_reasoning(body: Mapping[str, Any]) -> bool:
    try:
        choice = body["choices"][0]
        message = choice["message"]
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        return choice.get("finish_reason") == "length" and not message.get("content") and bool(reasoning)
    except (KeyError, IndexError, TypeError, AttributeError):
        return False


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same conversation; what the system said opens the first user message."""
    told = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    rest = [dict(message) for message in messages if message["role"] != "system"]
    first = next((message for message in rest if message["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": told}, *rest]
    first["content"] = f"{told}\n\n{first['content']}" if told else first["content"]
    return rest
