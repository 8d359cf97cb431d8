"""`run.json`: what a run folder holds, and how the run stands; and the lock that keeps a second writer out.

`status` is one of

    running      with `pid`, `host` and `heartbeat`, the time at which the process last said that it lives
    finished     `reason` names what is missing, where something is
    failed       `reason` in one line
    interrupted  by Ctrl-C or SIGTERM; a killed process leaves `running` with a heartbeat that stands still
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval.errors import LostFolderError, UserError
from eval.files import json_text, write_text

MARKER, LOCK = "run.json", ".lock"
HEARTBEAT_SECONDS = 30.0
SILENT_SECONDS = 120.0  # a heartbeat older than this is that of a process that is gone


def now_text(seconds: float | None = None) -> str:
    """A time (now, where none is given) as `2026-01-31T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def read_marker(folder: Path) -> dict[str, Any] | None:
    """What `run.json` says; `None` without one.

    Raises:
        UserError: the file is no JSON object.
    """
    path = folder / MARKER
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path} is damaged; pass --overwrite or choose another --out")
    return found


def seconds_silent(marker: dict[str, Any]) -> float:
    """Seconds since the last heartbeat; infinite where there never was one."""
    try:
        last = datetime.strptime(str(marker.get("heartbeat")), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return float("inf")
    return max(0.0, time.time() - last.timestamp())


def is_alive(marker: dict[str, Any]) -> bool:
    """Whether a process, as far as can be known, is at work on the run: its heart beats, and it is there."""
    if marker.get("status") != "running" or seconds_silent(marker) > SILENT_SECONDS:
        return False
    if marker.get("host") != platform.node():
        return True
    try:
        os.kill(int(marker["pid"]), 0)
    except PermissionError:
        return True
    except (OSError, KeyError, TypeError, ValueError):
        return False
    return True


def status_of(marker: dict[str, Any]) -> str:
    """The status in words: a run that says `running` without a living process was killed."""
    status = str(marker.get("status") or ("finished" if marker.get("finished") else "unknown"))
    return "killed" if status == "running" and not is_alive(marker) else status


class FolderLock:
    """Keeps a second process out of a run folder, and notices when the folder or the lock goes away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle: Any = None

    def take(self) -> None:
        """Raises UserError where another process has the folder."""
        self._handle = (self.folder / LOCK).open("w")
        refused = f"another process is writing to {self.folder}; wait for it or choose another --out"
        try:
            import fcntl

            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: no advisory lock; the heartbeat below still tells
            pass
        except OSError as error:
            self.release()
            raise UserError(refused) from error
        try:
            marker = read_marker(self.folder) or {}
        except UserError:  # damaged: nobody to be heard of; the run says so itself
            marker = {}
        if marker.get("pid") != os.getpid() and is_alive(marker):
            self.release()
            raise UserError(f"{refused} (process {marker.get('pid')} on {marker.get('host')})")

    def trouble(self) -> str | None:
        """Why nothing more may be written, or `None`: the folder is gone, or the lock is not ours any more."""
        if self._handle is None:
            return None
        try:
            there, mine = (self.folder / LOCK).stat(), os.fstat(self._handle.fileno())
        except FileNotFoundError:
            if self.folder.is_dir():
                return f"the lock of {self.folder} was removed: another process may be writing; stopped"
            return f"the run folder {self.folder} was removed or renamed during the run; stopped"
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            return f"another process has taken {self.folder} (its lock was replaced); stopped"
        return None

    def check(self) -> None:
        """Raises LostFolderError where there is trouble."""
        if text := self.trouble():
            raise LostFolderError(f"{text}; start the command again, in another --out if it happens again")

    def release(self, *, remove: bool = False) -> None:
        if self._handle is not None:
            if remove and self.trouble() is None:
                (self.folder / LOCK).unlink(missing_ok=True)
            self._handle.close()
            self._handle = None


class Marker:
    """`run.json` of an open run, kept up to date by a heartbeat in a thread of its own."""

    def __init__(self, folder: Path, lock: FolderLock, facts: dict[str, Any]) -> None:
        self.path = folder / MARKER
        self.lock = lock
        self.facts = facts
        self._writing = threading.Lock()
        self._end = threading.Event()

    def start(self, on_trouble: Callable[[str], None]) -> None:
        """Write `running`, and beat until `stop`; `on_trouble(text)` is called once where the folder is lost."""
        self.write(status="running", pid=os.getpid(), host=platform.node(), reason=None, finished=None)
        threading.Thread(target=self._beat, args=(on_trouble,), daemon=True, name="heartbeat").start()

    def write(self, **changes: Any) -> None:
        with self._writing:
            self.facts |= {**changes, "heartbeat": now_text()}
            write_text(self.path, json_text(self.facts))

    def stop(self, status: str, reason: str | None) -> None:
        """The last word: how the run ended."""
        self._end.set()
        self.write(status=status, reason=reason, finished=time.time() if status == "finished" else None)

    def withdraw(self) -> None:
        """No word at all: the run left nothing."""
        self._end.set()
        with self._writing:
            self.path.unlink(missing_ok=True)

    def silence(self) -> None:
        """Stop beating and write nothing: the folder is not ours any more."""
        self._end.set()

    def _beat(self, on_trouble: Callable[[str], None]) -> None:
        while not self._end.wait(HEARTBEAT_SECONDS):
            if text := self.lock.trouble():
                on_trouble(text)
                return
            try:
                self.write()
            except OSError:  # a full disk is met, and named, by the next result
                continue
