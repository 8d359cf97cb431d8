"""What goes to a server and what comes back: settings, a request as path and JSON body, a response with its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.explanation.servers.health import error_text
from eval.explanation.servers.transport import Attempt

Request = tuple[str, dict[str, Any]]  # path below the base address, JSON body
CHARACTERS_PER_TOKEN = 4.0  # for estimates only; replies bring the count that is charged


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """Where and how to ask. Prices in USD per million tokens; ``budget_usd=None`` is no limit.

    timeout: seconds without a byte before a request counts as hung. retries: attempts after the first.
    base_delay: first backoff in seconds, doubled on every retry up to ``longest_delay``.
    max_failures: the share of requests that may fail or be unreadable before the run stops, 0 to 1.
    key_variable: where the caller read the key, for messages. probe: ask each model once what it can, first of all.
    """

    base_url: str = "https://api.openai.com/v1"
    concurrency: int = 16
    timeout: float = 60.0
    retries: int = 6
    base_delay: float = 0.5
    longest_delay: float = 60.0
    replay: bool = False
    dry_run: bool = False
    budget_usd: float | None = None
    price_input: float = 0.0
    price_output: float = 0.0
    max_failures: float = 0.05
    key_variable: str = "OPENAI_API_KEY"
    probe: bool = False


@dataclass(frozen=True)
class Response:
    """A server's answer as JSON, or why there is none. status: HTTP status, 0 where nothing arrived.

    refused: the server understood and said no (400, 422): asking again in the same way is useless.
    no_logprobs: it said no to log-probabilities; the same may be asked without.
    """

    body: dict[str, Any] | None = None
    status: int = 200
    reason: str | None = None
    no_logprobs: bool = False

    @property
    def refused(self) -> bool:
        return self.no_logprobs or self.status in (400, 422)


def estimated_tokens(request: Mapping[str, Any]) -> tuple[int, int]:
    """(prompt, completion) tokens of a request, estimated: characters / 4 + 4 a message, and its token limit."""
    texts = [str(message.get("content", "")) for message in request.get("messages", [])] or [
        str(request.get("prompt", ""))
    ]
    prompt = sum(len(text) / CHARACTERS_PER_TOKEN + 4 for text in texts)
    return int(prompt) + 1, int(request.get("max_completion_tokens") or request.get("max_tokens") or 0)


def read_attempt(found: Attempt) -> Response:
    """An attempt as a response: any 2xx with a JSON object is an answer, everything else has its reason.

    A body that is no JSON object has status 0, so that it is asked for again; an announced empty one (204) is final.
    """
    if found.problem:
        return Response(None, 0, found.problem)
    if not 200 <= found.status < 300:
        return Response(None, found.status, f"HTTP {found.status}: {error_text(found.text)}")
    if found.status in (204, 205):
        return Response(None, found.status, f"HTTP {found.status}: the server answered without a reply")
    try:
        body = json.loads(found.text)
    except ValueError:
        return Response(None, 0, "the reply is not JSON")
    if not isinstance(body, dict):
        return Response(None, 0, "the reply is not a JSON object")
    return Response(body)
