"""Requests through OpenAI's batch API: a file of them, one answer file, at half the price and within a day.

    file of requests -> batch -> poll until it ends -> file of replies, file of errors

Before a batch is sent the journal knows its mark and its requests, and once it is sent its number: a run that is
killed at any point finds its batches again on its next start (one whose number it never learnt, by the mark that it
carries) and pays for none twice. A batch is closed when every reply of it is in the journal.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from eval.errors import StoppedError, UserError
from eval.explanation.servers.exchange import Request
from eval.explanation.servers.health import KEPT, Health, error_text
from eval.explanation.servers.journal import Journal
from eval.explanation.servers.transport import Attempt
from eval.progress import say

MOST_REQUESTS, MOST_BYTES = 50_000, 100_000_000
"""Of one batch: OpenAI's limits, and half of them."""
MARK = "neural_codes"
LONGEST_POLL = 60.0
ENDED = frozenset({"completed", "expired", "cancelled", "failed"})


@dataclass(frozen=True)
class _Batch:
    mark: str
    number: str
    keys: tuple[str, ...]


class Batches:
    """Sends batches, waits for them, and hands out what they brought.

    client: openai's `AsyncOpenAI`. first_poll: seconds until the first look, doubled at every look up to a minute.
    Raises `StoppedError` where a batch is refused or the server is gone, `UserError` for a server without this API.
    """

    def __init__(
        self, client: Any, journal: Journal, health: Health, headers: Mapping[str, Any], first_poll: float
    ) -> None:
        self.client, self.journal, self.health = client, journal, health
        self._headers, self._first_poll = dict(headers), first_poll

    async def answers(self, requests: Mapping[str, Request]) -> AsyncIterator[tuple[str, Attempt]]:
        """(key, what it brought) of every request; those that an earlier run sent are waited for, not sent again."""
        waiting = [one async for one in self._sent_before(requests)]
        known = {key for batch in waiting for key in batch.keys}
        waiting += [
            await self._send(chunk) for chunk in chunks({key: one for key, one in requests.items() if key not in known})
        ]
        for batch in waiting:
            found = await self._replies(batch)
            for key in batch.keys:
                if key in requests:
                    yield key, found.get(key, Attempt(0, problem="the batch ended without a reply to this request"))
            self.journal.close_batch(batch.mark)

    async def _sent_before(self, requests: Mapping[str, Request]) -> AsyncIterator[_Batch]:
        """The open batches of the journal that hold one of these requests; one that never arrived is forgotten."""
        for mark, number, keys in self.journal.open_batches():
            if not requests.keys() & set(keys):
                continue
            number = number or await self._find(mark)
            if number is None:
                self.journal.close_batch(mark)
                continue
            say(f"batch {number}, sent before, is waited for")
            yield _Batch(mark, number, tuple(keys))

    async def _find(self, mark: str) -> str | None:
        """The number of the batch with this mark, among the server's latest."""
        page = await self._call(self.client.batches.list(limit=100, extra_headers=self._headers))
        return next((one.id for one in page.data if (one.metadata or {}).get(MARK) == mark), None)

    async def _send(self, chunk: Mapping[str, Request]) -> _Batch:
        mark, keys = uuid.uuid4().hex, tuple(chunk)
        path = next(iter(chunk.values()))[0]
        lines = "".join(_line(key, *request) for key, request in chunk.items()).encode()
        file = await self._call(
            self.client.files.create(file=(f"{mark}.jsonl", lines), purpose="batch", extra_headers=self._headers)
        )
        self.journal.batch(mark, keys)
        batch = await self._call(
            self.client.batches.create(
                input_file_id=file.id,
                endpoint=f"/v1{path}",
                completion_window="24h",
                metadata={MARK: mark},
                extra_headers=self._headers,
            )
        )
        self.journal.batch(mark, keys, batch.id)
        say(f"batch {batch.id}: {len(keys)} requests sent")
        return _Batch(mark, batch.id, keys)

    async def _replies(self, batch: _Batch) -> dict[str, Attempt]:
        """Wait for the end of a batch; what each of its requests brought, by key."""
        delay, told = self._first_poll, -1
        while True:
            state = await self._call(self.client.batches.retrieve(batch.number, extra_headers=self._headers))
            done = getattr(state.request_counts, "completed", 0) or 0
            if state.status in ENDED:
                break
            if done != told:
                say(f"batch {batch.number}: {state.status}, {done} of {len(batch.keys)} answered")
            told = done
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_POLL)
        if state.status == "failed":
            self.journal.close_batch(batch.mark)
            errors = (state.errors.data if state.errors else None) or []
            told_why = "; ".join(str(error.message) for error in errors[:3]) or "no reason given"
            raise StoppedError(f"{self.health.host} refused batch {batch.number}: {told_why[:300]}; {KEPT}")
        out: dict[str, Attempt] = {}
        for file in (state.output_file_id, state.error_file_id):
            if file:
                content = await self._call(self.client.files.content(file, extra_headers=self._headers))
                out |= dict(_read(line) for line in content.text.splitlines() if line.strip())
        return out

    async def _call(self, work: Awaitable[Any]) -> Any:
        """A call of the batch API; what goes wrong ends the run in one line."""
        import openai

        try:
            return await work
        except openai.APIStatusError as error:
            text = error_text(error.response.text)
            if error.status_code in (404, 405, 501):
                raise UserError(
                    f"expected a server with OpenAI's batch API, got HTTP {error.status_code} from {self.health.host} "
                    f"({text}); leave --batch out"
                ) from error
            self.health.look(Attempt(error.status_code, error.response.text), "/batches", None, last=True)
            raise StoppedError(
                f"{self.health.host} refused a call of its batch API (HTTP {error.status_code}: {text}); {KEPT}"
            ) from error
        except openai.APIConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            raise StoppedError(
                f"no server answers at {self.health.base_url} ({cause}); batches run on without this program; {KEPT}"
            ) from error


def chunks(requests: Mapping[str, Request]) -> list[dict[str, Request]]:
    """The requests in batches: one path and one model each, within the limits on lines and bytes."""
    out: list[dict[str, Request]] = []
    room: dict[tuple[str, Any], tuple[dict[str, Request], int]] = {}
    for key, (path, body) in requests.items():
        size = len(_line(key, path, body).encode())
        chunk, used = room.get((path, body.get("model")), ({}, MOST_BYTES))
        if used + size > MOST_BYTES or len(chunk) >= MOST_REQUESTS:
            chunk, used = {}, 0
            out.append(chunk)
        chunk[key] = (path, body)
        room[path, body.get("model")] = (chunk, used + size)
    return out


def _line(key: str, path: str, body: Mapping[str, Any]) -> str:
    return json.dumps({"custom_id": key, "method": "POST", "url": f"/v1{path}", "body": body}) + "\n"


def _read(line: str) -> tuple[str, Attempt]:
    """(key, what it brought) of one line of an answer or error file."""
    found = json.loads(line)
    response, error = found.get("response"), found.get("error")
    if response:
        return found["custom_id"], Attempt(int(response["status_code"]), json.dumps(response.get("body")))
    message = error.get("message") if isinstance(error, dict) else error
    return found["custom_id"], Attempt(0, problem=str(message or "no reply in the batch"))
