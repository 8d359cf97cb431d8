"""What can a server do? One request that asks for everything, before the first real one, and what came of it.

Asked again without what is refused (by its name in the server's words, else one thing after the other). What is
accepted in silence and not done counts as missing: a JSON schema is only offered where the answer obeys it against the
wording of the question, log-probabilities only where the reply holds some.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eval.explanation.servers.dialect import REFUSALS, Dialect, Lesson
from eval.explanation.servers.exchange import read_attempt
from eval.explanation.servers.transport import CHAT, Attempt

MOST_ATTEMPTS = 8
MOST_LOGPROBS = 20
SCHEMA = {"type": "object", "properties": {"1": {"type": "integer"}}, "required": ["1"], "additionalProperties": False}
OPTIONAL = ("prompt_logprobs", "response_format", "logprobs")
"""What may be refused, in the order in which it is given up where the server names nothing."""
NAMED = {"prompt_logprobs": ("prompt_logprobs",), "response_format": ("response_format", "json_schema", "schema")}
Send = Callable[[str, Mapping[str, Any]], Awaitable[Attempt]]


@dataclass(frozen=True)
class Abilities:
    """What one model on one server was found to do. logprobs: how many a token (0: none).

    completion_limit: it wants ``max_completion_tokens``. reasoning: it thinks before it answers.
    """

    logprobs: int
    prompt_logprobs: bool
    system_role: bool
    json_schema: bool
    completion_limit: bool
    reasoning: bool

    def line(self) -> str:
        """In words, for the person at the terminal."""
        return ", ".join(
            (
                f"{self.logprobs} log-probabilities a token" if self.logprobs else "no log-probabilities",
                f"{'' if self.prompt_logprobs else 'no '}prompt log-probabilities",
                f"{'a' if self.system_role else 'no'} system role",
                f"{'a' if self.json_schema else 'no'} JSON schema",
                "max_completion_tokens" if self.completion_limit else "max_tokens",
                "reasons" if self.reasoning else "does not reason",
            )
        )


def schema_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema as the ``response_format`` of a chat completion."""
    return {"type": "json_schema", "json_schema": {"name": "levels", "strict": True, "schema": dict(schema)}}


def probe_request(model: str) -> dict[str, Any]:
    """The request that asks for everything; its words ask for no JSON, so that only a schema brings it."""
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": "You answer in one word."},
            {"role": "user", "content": "Say hello."},
        ],
        "max_tokens": 16,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": MOST_LOGPROBS,
        "response_format": schema_format(SCHEMA),
        "prompt_logprobs": 1,
    }


async def probe(send: Send, model: str, dialect: Dialect) -> tuple[Abilities | None, Attempt]:
    """(what the model can, ``None`` where it gave no answer; the last attempt). Teaches the dialect what it learns."""
    request, attempt = probe_request(model), Attempt(0)
    dialect.json_schema = True  # so that it is sent
    for _ in range(MOST_ATTEMPTS):
        sent = dialect.translate(request)
        attempt = await send(CHAT, sent)
        body = read_attempt(attempt).body
        if body is not None:
            found = _abilities(request, body, dialect)
            dialect.json_schema, dialect.reasons = found.json_schema, dialect.reasons or found.reasoning
            dialect.top_logprobs = min(dialect.top_logprobs, found.logprobs or dialect.top_logprobs)
            return found, attempt
        if attempt.status not in REFUSALS or not _give_up(request, sent, attempt, dialect):
            break
    dialect.json_schema = False
    return None, attempt


def _give_up(request: dict[str, Any], sent: Mapping[str, Any], attempt: Attempt, dialect: Dialect) -> bool:
    """Take out of the request what was refused; false where nothing is left to take out."""
    told = attempt.text.lower()
    for name, words in NAMED.items():
        if name in request and any(word in told for word in words):
            del request[name]
            return True
    lesson = dialect.learn(request, sent, attempt.status, attempt.text, 1)
    if lesson is Lesson.AGAIN:
        return True
    left = [name for name in OPTIONAL if name in request]
    if "logprob" in told and "logprobs" in left:
        left = ["logprobs"]
    if left:
        request.pop(left[0])
        if left[0] == "logprobs":
            request.pop("top_logprobs", None)
    return bool(left)


def _abilities(request: Mapping[str, Any], body: Mapping[str, Any], dialect: Dialect) -> Abilities:
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    entries = (choice.get("logprobs") or {}).get("content") or []
    content = str(message.get("content") or "")
    thought = message.get("reasoning_content") or message.get("reasoning") or "<think>" in content
    details = (body.get("usage") or {}).get("completion_tokens_details") or {}
    return Abilities(
        logprobs=max((len(entry.get("top_logprobs") or []) for entry in entries), default=0),
        prompt_logprobs=bool(body.get("prompt_logprobs") or choice.get("prompt_logprobs")),
        system_role=not dialect.no_system_role,
        json_schema="response_format" in request and _obeys(content),
        completion_limit=dialect.completion_limit,
        reasoning=bool(thought or details.get("reasoning_tokens")) or dialect.reasons,
    )


def _obeys(content: str) -> bool:
    try:
        found = json.loads(content)
    except ValueError:
        return False
    return isinstance(found, dict) and list(found) == ["1"] and isinstance(found["1"], int)
