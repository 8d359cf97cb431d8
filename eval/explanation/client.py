"""A client for OpenAI-compatible servers that survives what servers do, and pays for nothing twice.

Bounded concurrency (workers that share one queue of requests, so memory does not grow with the run), a timeout per
request, exponential backoff with jitter that honours ``Retry-After``; 401, 403 and 404 fail at once. Every reply is in
the journal before it is used. The key is read by the caller from the environment, sent as a header, and is in no
request, journal, result or error text.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import json
import random
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from eval.errors import UserError
from eval.explanation.journal import Journal, content_hash

Request = tuple[str, dict[str, Any]]  # path below the base address, JSON body
Result = TypeVar("Result")
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
CHARACTERS_PER_TOKEN = 4.0  # for estimates only; replies bring the count that is charged


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """Where and how to ask. Prices in USD per million tokens; ``budget_usd=None`` is no limit.

    timeout: seconds without a byte before a request counts as hung. retries: attempts after the first.
    base_delay: first backoff in seconds, doubled on every retry up to ``longest_delay``.
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


@dataclass(frozen=True)
class Response:
    """A server's answer as JSON, or why there is none. status: HTTP status, 0 where nothing arrived.

    refused: the server understood and said no (400, 422): asking again in the same way is useless.
    """

    body: dict[str, Any] | None = None
    status: int = 200
    reason: str | None = None

    @property
    def refused(self) -> bool:
        return self.status in (400, 422)


def estimated_tokens(request: dict[str, Any]) -> tuple[int, int]:
    """(prompt, completion) tokens of a request, estimated: characters / 4 + 4 a message, and its token limit."""
    texts = [str(message.get("content", "")) for message in request.get("messages", [])] or [
        str(request.get("prompt", ""))
    ]
    prompt = sum(len(text) / CHARACTERS_PER_TOKEN + 4 for text in texts)
    return int(prompt) + 1, int(request.get("max_completion_tokens") or request.get("max_tokens") or 0)


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for: a number or an HTTP date; ``None`` where it says nothing."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except (TypeError, ValueError):
        return None


class Client:
    """Sends JSON requests, many at once, through a journal.

    ``complete`` answers a list of ``(path, request)`` in order. Raises ``UserError`` for a wrong key, an unknown model
    or address, a reply missing in ``replay``, and a reached budget (what was answered stays in the journal).
    """

    def __init__(self, settings: ClientSettings, journal: Journal, key: str | None = None) -> None:
        self.settings = settings
        self.journal = journal
        self._key = key
        self.sent = self.from_journal = self.failed = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.planned: list[dict[str, Any]] = []
        self._reserved = 0.0
        earlier = journal.totals()
        self._spent_before = self.price(earlier["prompt_tokens"], earlier["completion_tokens"])
        self._jitter = random.Random(0)
        if not settings.replay and not settings.dry_run and not key and not _is_loopback(settings.base_url):
            raise UserError(
                "expected an API key in the environment variable OPENAI_API_KEY, found none; set it, "
                "or pass --base-url of a local server"
            )

    def price(self, prompt_tokens: float, completion_tokens: float) -> float:
        """USD of so many tokens."""
        return (prompt_tokens * self.settings.price_input + completion_tokens * self.settings.price_output) / 1e6

    def cost(self) -> dict[str, Any]:
        """What this invocation sent and paid, and what the journal spared it."""
        whole = self.journal.totals()
        return {
            "requests": self.sent,
            "from_journal": self.from_journal,
            "failed": self.failed,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": self.price(self.prompt_tokens, self.completion_tokens),
            "usd_of_whole_journal": self.price(whole["prompt_tokens"], whole["completion_tokens"]),
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
            key = self._hash(path, request)
            kept = None if key in waiting else self.journal.find(key)
            if kept is None:
                waiting.setdefault(key, []).append(place)
            else:
                self.from_journal += 1
                out[place] = use(place, Response(kept["body"], kept["status"], kept["reason"]))

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
            asyncio.run(self._complete({key: requests[places[0]] for key, places in waiting.items()}, deliver))
        return out

    def _hash(self, path: str, request: dict[str, Any]) -> str:
        return content_hash({"url": self.settings.base_url.rstrip("/") + path, "request": request})

    async def _complete(self, waiting: dict[str, Request], deliver: Callable[[str, Response], None]) -> None:
        """Workers share one iterator; the first fatal error stops them all after their current request."""
        items = iter(waiting.items())
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        trust = not _is_loopback(self.settings.base_url)
        secure = urlsplit(self.settings.base_url).scheme == "https"
        certificates = httpx.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        fatal: list[UserError] = []

        async def work() -> None:
            # A worker has its own client of one connection: a shared pool looks through every connection at every
            # request, which costs more than the request itself. The certificates are read once for all.
            async with httpx.AsyncClient(
                headers=headers,
                timeout=self.settings.timeout,
                limits=httpx.Limits(max_connections=1),
                trust_env=trust,
                verify=certificates,
            ) as http:
                for key, (path, request) in items:
                    if fatal:
                        return
                    try:
                        deliver(key, await self._ask(http, key, path, request))
                    except UserError as error:
                        fatal.append(error)
                        return

        await asyncio.gather(*(work() for _ in range(min(self.settings.concurrency, len(waiting)))))
        if fatal:
            raise fatal[0]

    async def _ask(self, http: httpx.AsyncClient, key: str, path: str, request: dict[str, Any]) -> Response:
        """One request until it is answered or given up; only a final answer is journaled."""
        reserve = self._reserve(request)
        try:
            response = await self._with_retries(http, key, path, request)
        finally:
            self._reserved -= reserve
        if response.status == 200 or response.refused:
            usage = (response.body or {}).get("usage") or {}
            estimate = estimated_tokens(request) if response.status == 200 else (0, 0)
            prompt = int(usage.get("prompt_tokens") or estimate[0])
            completion = int(usage.get("completion_tokens") or (0 if usage else estimate[1]))
            kept = {"body": response.body, "status": response.status, "reason": response.reason}
            self.journal.answered(key, kept, prompt, completion)
            self.prompt_tokens += prompt
            self.completion_tokens += completion
        else:
            self.failed += 1
        return response

    def _reserve(self, request: dict[str, Any]) -> float:
        """Set the request's highest price aside; raises where it would exceed the budget."""
        most = self.price(*estimated_tokens(request))
        budget = self.settings.budget_usd
        if budget is not None:
            spent = self._spent_before + self.price(self.prompt_tokens, self.completion_tokens)
            if spent + self._reserved + most > budget:
                raise UserError(
                    f"the budget of ${budget:g} is reached (spent ${spent:.4f} in {self.journal.path.name}); every "
                    "reply so far is kept: run the same command with a higher --budget-usd to continue"
                )
        self._reserved += most
        return most

    async def _with_retries(self, http: httpx.AsyncClient, key: str, path: str, request: dict[str, Any]) -> Response:
        last = Response(None, 0, "no attempt was made")
        for attempt in range(self.settings.retries + 1):
            self.journal.asked(key, request)
            self.sent += 1
            last, wait = await self._attempt(http, path, request)
            if last.status == 200 or last.refused or last.status not in RETRIED | {0}:
                return last
            if attempt < self.settings.retries:
                delay = self.settings.base_delay * 2**attempt * (0.5 + self._jitter.random())
                await asyncio.sleep(min(self.settings.longest_delay, delay) if wait is None else wait)
        return Response(None, last.status, f"gave up after {self.settings.retries + 1} attempts: {last.reason}")

    async def _attempt(
        self, http: httpx.AsyncClient, path: str, request: dict[str, Any]
    ) -> tuple[Response, float | None]:
        """One try: (answer or failure, seconds the server asked to wait)."""
        url = self.settings.base_url.rstrip("/") + path
        try:
            reply = await http.post(url, json=request)
            text = reply.text
        except httpx.TimeoutException:
            return Response(None, 0, f"no answer within {self.settings.timeout:g} s"), None
        except httpx.HTTPError as error:
            return Response(None, 0, f"connection failed ({type(error).__name__})"), None
        if reply.status_code in (401, 403):
            raise UserError(
                f"{urlsplit(url).hostname} refused the key (HTTP {reply.status_code}); "
                "expected a valid one in OPENAI_API_KEY"
            )
        if reply.status_code == 404:
            raise UserError(
                f"HTTP 404 for {path} and model {request.get('model')!r}; check --base-url and the model name"
            )
        if reply.status_code != 200:
            wait = retry_after(reply.headers.get("retry-after"), time.time())
            return Response(None, reply.status_code, f"HTTP {reply.status_code}: {_error_text(text)}"), wait
        try:
            body = json.loads(text)
        except ValueError:
            return Response(None, 0, "the reply is not JSON"), None
        if not isinstance(body, dict):
            return Response(None, 0, "the reply is not a JSON object"), None
        return Response(body), None


def _error_text(text: str) -> str:
    try:
        message = json.loads(text)["error"]
        return str(message.get("message", message) if isinstance(message, dict) else message)[:200]
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:200] or "no text"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
