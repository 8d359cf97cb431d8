"""How a run stands and how it ends: status, claims on a folder, folders and locks that go away under a run."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from eval import run_marker
from eval.errors import IncompleteError, StoppedError, UserError
from eval.options import RunConfig, option
from eval.run_marker import is_alive, now_text, read_marker, status_of
from eval.runs import Run


@dataclass(frozen=True, kw_only=True)
class DemoConfig(RunConfig):
    """A demonstration."""

    tokens: int = option(10, "how many")


def open_run(folder: Path, **changes) -> Run:
    return Run.open(replace(DemoConfig(out=str(folder)), **changes), command=["python -m demo", "spectra"])


def marker(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def test_status_running_then_finished(tmp_path):
    with open_run(tmp_path / "run") as run:
        found = marker(tmp_path / "run")
        assert (found["status"], found["pid"], found["host"]) == ("running", os.getpid(), platform.node())
        assert is_alive(found)
        run.item("a", lambda: 1)
    found = marker(tmp_path / "run")
    assert found["status"] == "finished"
    assert found["reason"] is None
    assert found["finished"] > 0


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (UserError("expected a, got b; do c"), "failed", "expected a, got b; do c"),
        (ZeroDivisionError("division by zero"), "failed", "ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), "interrupted", None),
        (SystemExit(143), "interrupted", None),
        (IncompleteError("3 of 7 units failed"), "finished", "incomplete: 3 of 7 units failed"),
    ],
)
def test_status_of_what_went_wrong(tmp_path, error, status, reason):
    with pytest.raises(type(error)), open_run(tmp_path / "run") as run:
        run.item("a", lambda: 1)
        raise error
    found = marker(tmp_path / "run")
    assert (found["status"], found["reason"]) == (status, reason)
    log = tmp_path / "run" / "error.log"
    assert log.exists() == isinstance(error, ZeroDivisionError), "a log for what nobody foresaw"
    if log.exists():
        assert "Traceback" in log.read_text()
        open_run(tmp_path / "run").__exit__(None, None, None)
        assert not log.exists()


@pytest.mark.parametrize("error", [UserError("no such model"), KeyboardInterrupt()])
def test_a_run_that_computed_nothing_leaves_no_claim(tmp_path, error):
    with pytest.raises(type(error)), open_run(tmp_path / "run") as run:
        run.require_inputs(images="a")
        raise error
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(type(error)), open_run(tmp_path / "mine"):
        raise error
    assert list((tmp_path / "mine").iterdir()) == [], "a folder that was there stays"


def test_an_unforeseen_failure_leaves_its_log_and_no_claim(tmp_path):
    with pytest.raises(TypeError), open_run(tmp_path / "run"):
        raise TypeError("x")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["error.log"]
    with open_run(tmp_path / "run", tokens=20) as run:
        run.item("a", lambda: 1)


def test_a_killed_run_without_results_leaves_no_claim(tmp_path):
    run = open_run(tmp_path / "run")
    run._open._lock.release()
    killed = marker(tmp_path / "run") | {"pid": 2**22 + 1}
    (tmp_path / "run" / "run.json").write_text(json.dumps(killed))
    assert status_of(killed) == "killed"
    open_run(tmp_path / "run", tokens=20).__exit__(None, None, None)


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_folder_that_goes_away_is_named(tmp_path, how):
    folder = tmp_path / "run"
    text = rf"the run folder {folder} was removed or renamed during the run; stopped; start the command again"
    with pytest.raises(StoppedError, match=text), open_run(folder) as run:
        run.item("a", lambda: 1)
        shutil.rmtree(folder) if how == "removed" else folder.rename(tmp_path / "other")
        run.item("b", lambda: 2)
    assert not folder.exists(), "no partial folder in its place"
    with pytest.raises(StoppedError, match=text), open_run(folder):
        shutil.rmtree(folder) if how == "removed" else folder.rename(tmp_path / "another")


def test_a_lock_that_was_removed_stops_the_first_and_keeps_the_second_out(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(StoppedError, match=r"the lock of .*run was removed: another process may be writing; stopped"):
        with open_run(folder) as run:
            run.item("a", lambda: 1)
            (folder / ".lock").unlink()
            run.write_json("results.json", {})


def test_a_second_writer_is_refused_by_the_heartbeat_even_without_the_lock(tmp_path):
    folder = tmp_path / "run"
    with open_run(folder) as run:
        run.item("a", lambda: 1)
    parent = marker(folder) | {"status": "running", "pid": os.getppid(), "heartbeat": now_text()}
    (folder / "run.json").write_text(json.dumps(parent))
    with pytest.raises(UserError, match=rf"another process is writing to .*\(process {os.getppid()} on "):
        open_run(folder)
    (folder / "run.json").write_text(json.dumps(parent | {"heartbeat": now_text(time.time() - 1000)}))
    open_run(folder).__exit__(None, None, None)


def test_a_second_process_with_a_lock_of_its_own_stops_the_first(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(StoppedError, match=r"another process has taken .*run \(its lock was replaced\); stopped"):
        with open_run(folder) as run:
            (folder / ".lock").unlink()
            (folder / ".lock").write_text("")
            run.write_json("results.json", {})


def test_the_heart_beats_and_notices_within_a_long_computation(tmp_path, monkeypatch):
    monkeypatch.setattr(run_marker, "HEARTBEAT_SECONDS", 0.05)
    with pytest.raises(StoppedError, match="was removed or renamed"), open_run(tmp_path / "run") as run:
        first = run.path("run.json").stat().st_mtime_ns
        deadline = time.monotonic() + 20
        while run.path("run.json").stat().st_mtime_ns == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (tmp_path / "run").rename(tmp_path / "other")
        time.sleep(20)
        pytest.fail("was not interrupted")


def test_a_damaged_marker_is_named(tmp_path):
    with open_run(tmp_path / "run") as run:
        run.item("a", lambda: 1)
    for text in ("", "null", '{"identity": null}'):
        (tmp_path / "run" / "run.json").write_text(text)
        with pytest.raises(UserError, match=r"run.json is damaged; pass --overwrite or choose another --out"):
            open_run(tmp_path / "run")
    open_run(tmp_path / "run", overwrite=True).__exit__(None, None, None)
    assert read_marker(tmp_path / "run") is not None
