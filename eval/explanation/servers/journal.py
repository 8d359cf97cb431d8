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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.errors import StoppedError, UserError

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  hash TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT, attempts INTEGER NOT NULL DEFAULT 0,
  prompt_tokens INTEGER, completion_tokens INTEGER, asked REAL, answered REAL)
"""
BATCHES = "CREATE TABLE IF NOT EXISTS batches (mark TEXT PRIMARY KEY, id TEXT, keys TEXT NOT NULL, asked REAL)"
ANSWER = "UPDATE entries SET reply = ?, prompt_tokens = ?, completion_tokens = ?, answered = ? WHERE hash = ?"
LOCK_SECONDS = 60.0


def content_hash(request: Any) -> str:
    """SHA-256 of a request as canonical JSON (keys sorted): the same question has the same hash in every run."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Journal:
    """Requests and replies on disk. Use as a context manager; one process writes at a time.

    wait: seconds to wait where another process holds the file locked; then `StoppedError`, and the replies that could
    not be written are put beside the journal (``*.unwritten.jsonl``) and taken in when it is opened next.
    Raises ``UserError`` where the file is not a journal.
    """

    def __init__(self, path: str | Path, *, wait: float = LOCK_SECONDS) -> None:
        self.path, self.wait = Path(path), wait
        self._unwritten: list[tuple[Any, ...]] = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(self.path, timeout=0.1, isolation_level=None, check_same_thread=False)
            for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", SCHEMA, BATCHES):
                self._execute(statement)
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"expected an SQLite journal at {self.path}, got {error}; choose another --journal"
            ) from error
        self._take_in()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._write_rest()
        finally:
            self._database.close()

    def __len__(self) -> int:
        """How many requests have a reply."""
        return int(self._execute("SELECT COUNT(*) FROM entries WHERE reply IS NOT NULL").fetchone()[0])

    @property
    def unwritten(self) -> Path:
        """Where replies wait that a locked journal did not take."""
        return self.path.with_name(f"{self.path.name}.unwritten.jsonl")

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run a statement; waits for another process's lock, then raises `StoppedError`."""
        deadline = time.monotonic() + (0.0 if self._unwritten else self.wait)
        while True:
            try:
                return self._database.execute(statement, values)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) and "busy" not in str(error):
                    raise
                if time.monotonic() >= deadline:
                    raise StoppedError(
                        f"another process holds the journal {self.path} locked for more than {self.wait:g} s; end it "
                        "and run the same command: every reply so far is kept"
                    ) from error

    def find(self, key: str) -> Any | None:
        """The reply under this hash, or ``None``."""
        row = self._execute("SELECT reply FROM entries WHERE hash = ?", (key,)).fetchone()
        return None if row is None or row[0] is None else json.loads(row[0])

    def asked(self, key: str, request: Any) -> None:
        """Note that a request is about to be sent (once more)."""
        text = json.dumps(request, ensure_ascii=True)
        self._execute(
            "INSERT INTO entries (hash, request, attempts, asked) VALUES (?, ?, 1, ?) "
            "ON CONFLICT (hash) DO UPDATE SET attempts = attempts + 1, asked = excluded.asked",
            (key, text, time.time()),
        )

    def answered(self, key: str, reply: Any, prompt_tokens: int | None = None, completion: int | None = None) -> None:
        """Keep a reply, for good."""
        values = (json.dumps(reply, ensure_ascii=True), prompt_tokens, completion, time.time(), key)
        if self._unwritten:  # the lock was waited for once; what still arrives is written at the end
            self._unwritten.append(values)
            return
        try:
            self._execute(ANSWER, values)
        except StoppedError:
            self._unwritten.append(values)
            raise

    def batch(self, mark: str, keys: Sequence[str], number: str | None = None) -> None:
        """Note that a batch is about to be sent, and then its number on the server. mark: what it carries there."""
        values = (mark, number, json.dumps(list(keys)), time.time())
        self._execute("INSERT OR REPLACE INTO batches (mark, id, keys, asked) VALUES (?, ?, ?, ?)", values)

    def open_batches(self) -> list[tuple[str, str | None, list[str]]]:
        """(mark, number on the server where it is known, keys of its requests) of every batch not read to its end."""
        rows = self._execute("SELECT mark, id, keys FROM batches ORDER BY asked").fetchall()
        return [(mark, number, json.loads(keys)) for mark, number, keys in rows]

    def close_batch(self, mark: str) -> None:
        """Every reply of a batch is kept."""
        self._execute("DELETE FROM batches WHERE mark = ?", (mark,))

    def _write_rest(self) -> None:
        """At the end: what a lock kept out, into the journal or, where it is still locked, into the file beside it."""
        rest, self._unwritten = self._unwritten, []
        try:
            for place, values in enumerate(rest):
                self._execute(ANSWER, values)
                rest[place] = ()
        except StoppedError:
            lines = [json.dumps(values) + "\n" for values in rest if values]
            with self.unwritten.open("a", encoding="utf-8") as file:
                file.writelines(lines)
            raise

    def _take_in(self) -> None:
        """Replies that an earlier run had to leave beside the journal."""
        if self.unwritten.exists():
            for line in self.unwritten.read_text(encoding="utf-8").splitlines():
                self._execute(ANSWER, tuple(json.loads(line)))
            self.unwritten.unlink()

    def totals(self) -> dict[str, int]:
        """Over the whole journal, earlier runs included: replies and tokens."""
        query = "SELECT COUNT(reply), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0) FROM entries"
        replies, prompt, completion = self._execute(query).fetchone()
        return {"replies": replies, "prompt_tokens": prompt, "completion_tokens": completion}

    def spent(self, price_input: float, price_output: float) -> float:
        """USD over the whole journal: what each reply was charged; one kept without that at these prices (USD per
        million tokens)."""
        charged = "COALESCE(json_extract(reply, '$.usd'), (prompt_tokens * ? + completion_tokens * ?) / 1e6, 0)"
        query = f"SELECT COALESCE(SUM({charged}), 0) FROM entries WHERE reply IS NOT NULL"
        return float(self._execute(query, (price_input, price_output)).fetchone()[0])
