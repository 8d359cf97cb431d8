"""One attempt at one request, through openai's `AsyncOpenAI` with its own retries off: what came back, or why nothing.

Retries, journal, budget and limits are ours (`servers.client`), because openai's would send again without a journal
entry. `openai` takes a second to import and is imported when the first request is sent.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import ssl
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

CHAT, COMPLETIONS = "/chat/completions", "/completions"
UNKNOWN_TO_OPENAI = ("prompt_logprobs",)
"""What other servers take and openai's client has no parameter for."""


@dataclass(frozen=True)
class Attempt:
    """What one attempt brought. status: HTTP status, 0 where nothing arrived; text: the body as it was sent.

    wait: seconds the server asked to wait. problem: why nothing arrived. unreachable: nothing listens at the address.
    """

    status: int
    text: str = ""
    wait: float | None = None
    problem: str | None = None
    unreachable: bool = False


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own (it needs no key, and no proxy stands before it)."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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


class Transport:
    """Sends single requests. The certificates are read once; each worker opens a connection of its own.

    A shared pool looks through every connection at every request, which costs more than the request itself.
    """

    def __init__(self, base_url: str, timeout: float, key: str | None) -> None:
        self.base_url, self.timeout, self._key = base_url.rstrip("/"), timeout, key
        self._certificates: Any = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """An open client of one worker."""
        async with self.client() as client:
            yield Connection(client, self.timeout, self.headers())

    def headers(self) -> dict[str, Any]:
        """What is sent beside openai's own headers: without a key, no authorisation."""
        import openai

        return {} if self._key else {"Authorization": openai.Omit()}

    @asynccontextmanager
    async def client(self, retries: int = 0) -> AsyncIterator[Any]:
        """openai's own client. retries: its own, for calls that are no requests (of the batch API)."""
        import openai

        if self._certificates is None:
            import httpx2

            secure = urlsplit(self.base_url).scheme == "https"  # reading the certificates takes longer than a request
            self._certificates = httpx2.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        plain = openai.DefaultAsyncHttpxClient(
            timeout=self.timeout, trust_env=not is_loopback(self.base_url), verify=self._certificates
        )
        async with openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self._key or "none",
            timeout=self.timeout,
            max_retries=retries,
            http_client=plain,
        ) as client:
            yield client


class Connection:
    """One worker's client."""

    def __init__(self, client: Any, timeout: float, headers: dict[str, Any]) -> None:
        self._timeout, self._headers = timeout, headers
        self._methods = {
            CHAT: client.chat.completions.with_raw_response.create,
            COMPLETIONS: client.completions.with_raw_response.create,
        }

    async def send(self, path: str, request: Mapping[str, Any]) -> Attempt:
        """Send once; every outcome is an `Attempt`, none an exception."""
        import httpx2
        import openai

        try:
            known = {name: value for name, value in request.items() if name not in UNKNOWN_TO_OPENAI}
            more = {name: request[name] for name in UNKNOWN_TO_OPENAI if name in request}
            reply = await self._methods[path](**known, extra_headers=self._headers, extra_body=more or None)
            return Attempt(reply.status_code, reply.text)
        except openai.APIStatusError as error:
            wait = retry_after(error.response.headers.get("retry-after"), time.time())
            return Attempt(error.status_code, error.response.text, wait)
        except openai.APITimeoutError:
            return Attempt(0, problem=f"no answer within {self._timeout:g} s")
        except openai.APIConnectionError as error:
            cause = error.__cause__
            name = type(cause or error).__name__
            return Attempt(0, problem=f"connection failed ({name})", unreachable=isinstance(cause, httpx2.ConnectError))


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, also where an event loop is running already (a notebook): then in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    failed: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:  # handed to the caller's thread
            failed.append(error)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
