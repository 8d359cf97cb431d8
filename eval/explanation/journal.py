"""The journal: every request and its reply in SQLite, under a hash of the request, before the reply is used.

A run that is killed at any point finds on its next start every reply that had arrived, and asks only for the rest.
Write-ahead logging with ``synchronous=NORMAL``: a committed reply survives ``kill -9``. The request is stored without
any header, so no key can get in.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.explanation.explainers import Chat, Reply
from eval.explanation.prompts import Message, load_prompt
from eval.explanation.simulators import Simulation, Simulator, Task

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  hash TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT, attempts INTEGER NOT NULL DEFAULT 0,
  prompt_tokens INTEGER, completion_tokens INTEGER, asked REAL, answered REAL)
"""


def content_hash(request: Any) -> str:
    """SHA-256 of a request as canonical JSON (keys sorted): the same question has the same hash in every run."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Journal:
    """Requests and replies on disk. Use as a context manager; one process writes at a time.

    Raises ``UserError`` where the file is not a journal or is locked by another run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"expected an SQLite journal at {self.path}, got {error}; choose another --journal"
            ) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def __len__(self) -> int:
        """How many requests have a reply."""
        return int(self._database.execute("SELECT COUNT(*) FROM entries WHERE reply IS NOT NULL").fetchone()[0])

    def find(self, key: str) -> Any | None:
        """The reply under this hash, or ``None``."""
        row = self._database.execute("SELECT reply FROM entries WHERE hash = ?", (key,)).fetchone()
        return None if row is None or row[0] is None else json.loads(row[0])

    def asked(self, key: str, request: Any) -> None:
        """Note that a request is about to be sent (once more)."""
        text = json.dumps(request, ensure_ascii=True)
        self._database.execute(
            "INSERT INTO entries (hash, request, attempts, asked) VALUES (?, ?, 1, ?) "
            "ON CONFLICT (hash) DO UPDATE SET attempts = attempts + 1, asked = excluded.asked",
            (key, text, time.time()),
        )

    def answered(self, key: str, reply: Any, prompt_tokens: int | None = None, completion: int | None = None) -> None:
        """Keep a reply, for good."""
        text = json.dumps(reply, ensure_ascii=True)
        self._database.execute(
            "UPDATE entries SET reply = ?, prompt_tokens = ?, completion_tokens = ?, answered = ? WHERE hash = ?",
            (text, prompt_tokens, completion, time.time(), key),
        )

    def totals(self) -> dict[str, int]:
        """Over the whole journal, earlier runs included: replies and tokens."""
        query = "SELECT COUNT(reply), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0) FROM entries"
        replies, prompt, completion = self._database.execute(query).fetchone()
        return {"replies": replies, "prompt_tokens": prompt, "completion_tokens": completion}


class JournaledSimulator:
    """A (slow, local) simulator whose simulations are kept: each window is simulated once per explanation.

    identity: what else decides the numbers (model, weights, dtype).
    """

    def __init__(self, simulator: Simulator, journal: Journal, identity: Mapping[str, Any]) -> None:
        self.simulator, self.journal, self.identity = simulator, journal, dict(identity)
        self.name = simulator.name

    def simulate(self, tasks: Sequence[Task]) -> list[Simulation]:
        return [self._simulate(task) for task in tasks]

    def _simulate(self, task: Task) -> Simulation:
        if not task.explanation.is_defined:
            return self.simulator.simulate([task])[0]
        request = {
            "simulate": self.identity,
            "prompt": load_prompt("simulate"),
            "explanation": task.explanation.text,
            "tokens": list(task.strings),
        }
        key = content_hash(request)
        kept = self.journal.find(key)
        if kept is None:
            self.journal.asked(key, request)
            simulation = self.simulator.simulate([task])[0]
            kept = {
                "values": _listed(simulation.values),
                "outside": None if simulation.outside is None else _listed(simulation.outside),
                "reason": simulation.reason,
                "notes": list(simulation.notes),
            }
            self.journal.answered(key, kept)
        outside = kept["outside"]
        return Simulation(
            _array(kept["values"]), None if outside is None else _array(outside), kept["reason"], tuple(kept["notes"])
        )


def _listed(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


class JournaledChat:
    """A (slow, local) chat whose replies are kept."""

    def __init__(self, chat: Chat, journal: Journal, identity: Mapping[str, Any]) -> None:
        self.chat, self.journal, self.identity = chat, journal, dict(identity)
        self.name = chat.name

    def ask(self, conversations: Sequence[list[Message]], *, maximum_tokens: int) -> list[Reply]:
        return [self._ask(conversation, maximum_tokens) for conversation in conversations]

    def _ask(self, conversation: list[Message], maximum_tokens: int) -> Reply:
        request = {"chat": self.identity, "messages": conversation, "maximum_tokens": maximum_tokens}
        key = content_hash(request)
        kept = self.journal.find(key)
        if kept is None:
            self.journal.asked(key, request)
            reply = self.chat.ask([conversation], maximum_tokens=maximum_tokens)[0]
            kept = {"text": reply.text, "reason": reply.reason, "top_logprobs": reply.top_logprobs}
            self.journal.answered(key, kept)
        top = kept["top_logprobs"]
        return Reply(
            kept["text"], kept["reason"], None if top is None else tuple((token, dict(found)) for token, found in top)
        )
