"""Requests to an OpenAI-compatible server that survive what servers do, and are paid for once.

One attempt is openai's `AsyncOpenAI` (`servers.transport`); around it: bounded concurrency (workers that share one
queue, so memory does not grow with the run), exponential backoff with jitter that honours ``Retry-After``, the form of
request that each model takes (`servers.dialect`, `servers.probe`), what ends a run (`servers.health`), a budget
(`servers.purse`), and a journal that holds every reply before it is used. The key is read by the caller from the
environment, sent as a header, and is in no request, journal, result or error text.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from eval.errors import OneLineError, UserError
from eval.explanation.servers.dialect import Dialect, Lesson, wants_logprobs
from eval.explanation.servers.exchange import ClientSettings, Request, Response, estimated_tokens, read_attempt
from eval.explanation.servers.health import Health
from eval.explanation.servers.journal import Journal, content_hash
from eval.explanation.servers.probe import Abilities, probe
from eval.explanation.servers.purse import Purse
from eval.explanation.servers.transport import (
    CHAT,
    Attempt,
    Connection,
    Transport,
    is_loopback,
    retry_after,
    run_to_end,
)
from eval.progress import progress_bar, say

__all__ = ["Client", "ClientSettings", "Request", "Response", "estimated_tokens", "retry_after"]

Result = TypeVar("Result")
RETRIED = frozenset({0, 408, 409, 425, 429, 500, 502, 503, 504, 529})


class Client:
    """Sends JSON requests, many at once, through a journal.

    ``complete`` answers a list of ``(path, request)`` in order. Raises ``UserError`` for a wrong key, an unknown model
    or address and a reply missing in ``replay``, ``StoppedError`` for a reached budget, an unreachable server, an empty
    account and too many failures (what was answered stays in the journal).
    """

    def __init__(
        self, settings: ClientSettings, journal: Journal, key: str | None = None, purse: Purse | None = None
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.dialects: dict[str, Dialect] = defaultdict(Dialect)
        self.abilities: dict[str, Abilities | None] = {}
        self.health = Health(settings.base_url, settings.max_failures, settings.key_variable)
        self._transport = Transport(settings.base_url, settings.timeout, key)
        self.sent = self.from_journal = self.failed = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.planned: list[dict[str, Any]] = []
        prices = {"price_input": settings.price_input, "price_output": settings.price_output}
        self._purse = purse or Purse(settings.budget_usd, journal, **prices)
        self._jitter = random.Random(0)
        if not settings.replay and not settings.dry_run and not key and not is_loopback(settings.base_url):
            raise UserError(
                f"expected an API key in the environment variable {settings.key_variable}, found none; set it, "
                "or pass --base-url of a local server"
            )

    def price(self, prompt_tokens: float, completion_tokens: float) -> float:
        """USD of so many tokens."""
        return (prompt_tokens * self.settings.price_input + completion_tokens * self.settings.price_output) / 1e6

    def cost(self) -> dict[str, float]:
        """What this invocation sent and paid (USD), and what the journal spared it."""
        return {
            "requests": self.sent,
            "from_journal": self.from_journal,
            "failed": self.failed,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": self.price(self.prompt_tokens, self.completion_tokens),
            "usd_of_whole_journal": self.journal.spent(self.settings.price_input, self.settings.price_output),
        }

    def complete(
        self, requests: Sequence[Request], use: Callable[[int, Response], Result] = lambda place, response: response
    ) -> list[Result]:
        """``use(place, answer)`` of every request, in order; equal requests are asked once.

        Answers are handed to ``use`` as they arrive and then dropped, so only what it returns is held in memory.
        """
        out: list[Any] = [None] * len(requests)
        waiting: dict[str, list[int]] = {}
        for place, (path, request) in enumerate(requests):
            key = content_hash({"path": path, "request": request})
            kept = None if key in waiting else self.journal.find(key)
            if kept is None:
                waiting.setdefault(key, []).append(place)
            else:
                self.from_journal += 1
                self.health.answered()
                out[place] = use(place, Response(**{name: kept[name] for name in kept if name != "usd"}))

        def deliver(key: str, response: Response) -> None:
            for place in waiting[key]:
                out[place] = use(place, response)

        if waiting and self.settings.replay:
            raise UserError(
                f"expected every reply in {self.journal.path}, {len(waiting)} of {len(requests)} are missing; "
                "run once without --replay"
            )
        if self.settings.dry_run:
            for key, places in waiting.items():
                self.planned.append(requests[places[0]][1])
                deliver(key, Response(None, 0, "dry run"))
        elif waiting:
            run_to_end(self._complete({key: requests[places[0]] for key, places in waiting.items()}, deliver))
        return out

    async def _complete(self, waiting: dict[str, Request], deliver: Callable[[str, Response], None]) -> None:
        """Workers share one iterator; the first fatal error stops them all after their current request."""
        if self.settings.probe:
            await self._probe(dict.fromkeys(str(request.get("model")) for _, request in waiting.values()))
        items = iter(waiting.items())
        fatal: list[OneLineError] = []

        async def work(bar: Any) -> None:
            async with self._transport.connection() as connection:
                for key, (path, request) in items:
                    if fatal:
                        return
                    try:
                        deliver(key, await self._ask(connection, key, path, request))
                        bar.update(1)
                    except OneLineError as error:
                        fatal.append(error)
                        return

        with progress_bar(label="requests", total=len(waiting), unit="request") as bar:
            await asyncio.gather(*(work(bar) for _ in range(min(self.settings.concurrency, len(waiting)))))
        if fatal:
            raise fatal[0]
        self.health.finish()

    async def _probe(self, models: Iterable[str]) -> None:
        """What each model can, asked once and said; not journaled, since a server may be another one tomorrow."""
        for model in models:
            if model in self.abilities:
                continue
            async with self._transport.connection() as connection:
                found, last = await probe(connection.send, model, self.dialects[model])
            self.sent += 1
            self.health.look(last, CHAT, model, last=False)
            self.abilities[model] = found
            told = found.line() if found else f"a probe brought no answer (HTTP {last.status})"
            say(f"{self.health.host}, {model}: {told}")

    async def _ask(self, connection: Connection, key: str, path: str, request: dict[str, Any]) -> Response:
        """One request until it is answered or given up; only a final answer is journaled."""
        most = self._dialect(request).translate(request)
        reserved = self.price(*estimated_tokens(most))
        self._purse.reserve(reserved)
        try:
            response = await self._with_retries(connection, key, path, request)
        finally:
            self._purse.release(reserved)
        return self._finished(key, most, response)

    def _finished(self, key: str, sent: Mapping[str, Any], response: Response) -> Response:
        """Keep and count a response after which the request is not sent again."""
        if response.body is not None or response.refused:
            self._keep(key, sent, response)
        if response.body is not None or response.no_logprobs:
            self.health.answered()
        else:
            self.failed += 1
            self.health.failed_request(response.reason or "no reply")
        return response

    def _keep(self, key: str, request: Mapping[str, Any], response: Response) -> None:
        usage = (response.body or {}).get("usage") or {}
        estimate = estimated_tokens(request) if response.body is not None else (0, 0)
        prompt = int(usage.get("prompt_tokens") or estimate[0])
        completion = int(usage.get("completion_tokens") or (0 if usage else estimate[1]))
        usd = self.price(prompt, completion)
        kept: dict[str, Any] = {"body": response.body, "status": response.status, "reason": response.reason, "usd": usd}
        self.journal.answered(key, kept | ({"no_logprobs": True} if response.no_logprobs else {}), prompt, completion)
        self._purse.paid(usd)
        self.prompt_tokens += prompt
        self.completion_tokens += completion

    def _dialect(self, request: Mapping[str, Any]) -> Dialect:
        return self.dialects[str(request.get("model"))]

    async def _with_retries(self, connection: Connection, key: str, path: str, request: dict[str, Any]) -> Response:
        """Attempts, each in the form that this server takes by now; another form costs no attempt."""
        settings, attempt = self.settings, 0
        while True:
            sent = self._dialect(request).translate(request)
            self.journal.asked(key, request)
            self.sent += 1
            found = await connection.send(path, sent)
            response = self._read(path, request, sent, found, attempt)
            if isinstance(response, Response):
                return response
            if response is Lesson.AGAIN:
                continue
            delay = settings.base_delay * 2**attempt * (0.5 + self._jitter.random())
            await asyncio.sleep(min(settings.longest_delay, delay) if found.wait is None else found.wait)
            attempt += 1

    def _read(
        self, path: str, request: Mapping[str, Any], sent: Mapping[str, Any], found: Attempt, attempt: int
    ) -> Response | Lesson:
        """What an attempt brought, where it is final; else how to go on: at once in another form (`AGAIN`), or later
        in the same (`NOTHING`)."""
        last = attempt == self.settings.retries
        self.health.look(found, path, request.get("model"), last=last)
        response = read_attempt(found)
        lesson = self._lesson(request, sent, found, response, attempt)
        if lesson is Lesson.AGAIN:
            return lesson
        if lesson is Lesson.NO_LOGPROBS:
            return Response(None, found.status, response.reason, no_logprobs=True)
        if found.status == 403:
            self.health.forbid()
        if response.body is not None or response.status not in RETRIED:
            return response
        if last:
            return Response(None, response.status, f"gave up after {attempt + 1} attempts: {response.reason}")
        return Lesson.NOTHING

    def _lesson(
        self, request: Mapping[str, Any], sent: Mapping[str, Any], found: Attempt, response: Response, attempt: int
    ) -> Lesson:
        if response.body is not None:
            return self._dialect(request).learn_from_reply(response.body, logprobs=wants_logprobs(sent))
        return self._dialect(request).learn(request, sent, found.status, found.text, attempt)
