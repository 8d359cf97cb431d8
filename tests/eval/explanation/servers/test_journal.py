"""The journal waits for another process's lock, then says so in one line; no reply is lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from eval.errors import StoppedError
from eval.explanation.servers.journal import Journal


def test_a_lock_that_ends_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.asked("a", {})
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, lambda: other.execute("ROLLBACK")).start()
        started = time.monotonic()
        journal.answered("a", {"body": 1})
        assert time.monotonic() - started >= 0.4 and journal.find("a") == {"body": 1}


def test_a_lock_that_stays_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        for key in "abc":
            journal.asked(key, {})
    other = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(StoppedError, match="another process holds the journal .*every reply so far is kept") as caught:  # noqa: SIM117
        with Journal(path, wait=0.2) as journal:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoppedError):
                journal.answered("a", {"body": 1}, 3, 4)
            journal.answered("b", {"body": 2}, 5, 6)  # arrived while the run was ending
    assert caught.value.exit_status == 3 and "\n" not in str(caught.value)
    other.execute("ROLLBACK")
    with Journal(path) as journal:
        assert journal.find("a") == {"body": 1} and journal.find("b") == {"body": 2} and journal.find("c") is None
        assert journal.totals() == {"replies": 2, "prompt_tokens": 8, "completion_tokens": 10}
        assert not journal.unwritten.exists()


def test_opening_waits_too(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoppedError, match="locked for more than 0.2 s"):
        Journal(path, wait=0.2)
