"""`run.json` read by others: who is alive, who was killed, what is damaged."""

from __future__ import annotations

import json
import os
import platform
import time

import pytest

from eval.errors import UserError
from eval.run_marker import SILENT_SECONDS, is_alive, now_text, read_marker, seconds_silent, status_of

LIVING = {"status": "running", "pid": os.getpid(), "host": platform.node()}


def beat(seconds_ago: float = 0.0, **changes) -> dict:
    return {**LIVING, "heartbeat": now_text(time.time() - seconds_ago), **changes}


@pytest.mark.parametrize(
    ("marker", "alive"),
    [
        (lambda: beat(), True),
        (lambda: beat(SILENT_SECONDS + 60), False),
        (lambda: beat(pid=2**22 + 1), False),
        (lambda: beat(pid=None), False),
        (lambda: beat(host="another", pid=2**22 + 1), True),  # what runs elsewhere is known by its heartbeat only
        (lambda: beat(SILENT_SECONDS + 60, host="another"), False),
        (lambda: beat(status="finished"), False),
        (dict, False),
    ],
)
def test_who_is_alive(marker, alive):
    assert is_alive(marker()) == alive


@pytest.mark.parametrize(
    ("marker", "status"),
    [
        (lambda: beat(), "running"),
        (lambda: beat(pid=2**22 + 1), "killed"),
        (lambda: beat(status="failed"), "failed"),
        (lambda: {"finished": 1.0}, "finished"),  # written before runs had a status
        (dict, "unknown"),
    ],
)
def test_status_in_words(marker, status):
    assert status_of(marker()) == status


def test_silence_is_measured_from_the_last_beat():
    assert 9 <= seconds_silent(beat(10)) <= 12
    assert seconds_silent({"heartbeat": "yesterday"}) == float("inf")


@pytest.mark.parametrize("text", ["", "null", "[1]", '{"status": "runn'])
def test_a_damaged_marker_is_named(tmp_path, text):
    assert read_marker(tmp_path) is None
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run.json is damaged; pass --overwrite or choose another --out"):
        read_marker(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(LIVING))
    assert read_marker(tmp_path) == LIVING
