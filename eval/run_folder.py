"""Opening and closing a run folder: whose it is, whether the same run continues in it, and what is said at the end."""

from __future__ import annotations

import _thread
import errno
import shutil
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.errors import IncompleteError, LostFolderError, OneLineError, UserError
from eval.files import half_written, write_text
from eval.progress import say
from eval.run_marker import LOCK, MARKER, FolderLock, Marker, read_marker

ERROR_LOG, INPUTS = "error.log", "inputs.json"
NO_CLAIM = frozenset({MARKER, LOCK, ERROR_LOG, INPUTS, "config.toml"})
"""What a run leaves that computed nothing: no reason to refuse the folder to another configuration."""


def check_is_run_folder(folder: Path) -> None:
    """Raises UserError for a folder that holds anything but a run."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if MARKER not in names and (foreign := sorted(names - NO_CLAIM)):
        raise UserError(f"{folder} is not a run folder (it holds {foreign[0]}); choose another --out")


def holds_results(folder: Path) -> bool:
    """Whether a run has left anything that was computed."""
    return any(path.name not in NO_CLAIM for path in folder.iterdir())


class OpenFolder:
    """A run folder that this process has to itself, from `OpenFolder(...)` to `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FolderLock(folder)
        self._marker: Marker | None = None
        self._created = False
        self._lost: str | None = None

    def open(self, facts: Mapping[str, Any], *, overwrite: bool) -> None:
        """Take the folder and write `run.json`.

        Raises:
            UserError: another configuration (the difference is named), something that is no run, an unwritable place,
                another process at work.
        """
        try:
            check_is_run_folder(self.folder)
            self._created = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.take()
        except OSError as error:  # a place that cannot be written, a file in the way
            if error.errno == errno.ENOSPC:  # a stop, not a wrong input
                raise
            raise UserError(f"cannot write to {self.folder}: {error.strerror}; choose another --out") from error
        try:
            if overwrite:
                self._clear()
            for path in half_written(self.folder):  # whoever wrote them is dead: this process has the lock
                path.unlink(missing_ok=True)
            before = read_marker(self.folder)
            if before is not None and (holds_results(self.folder) or before.get("status") in ("finished", None)):
                self._check_same_configuration(before.get("identity"), facts["identity"])
            (self.folder / ERROR_LOG).unlink(missing_ok=True)
            self._marker = Marker(self.folder, self._lock, dict(facts))
            self._marker.start(self._lose)
        except BaseException:
            self._lock.release()
            raise

    def state(self, **changes: Any) -> None:
        """Change what `run.json` says (nothing in a folder that is not open)."""
        if self._marker is not None:
            self._marker.write(**changes)

    def check(self) -> None:
        """Raises LostFolderError where the folder was removed, renamed or taken by another process."""
        self._lock.check()

    def close(self, error: BaseException | None) -> None:
        """Say in `run.json` how the run ended, and give the folder back.

        Raises:
            LostFolderError: the folder was lost under the run; nothing is written then.
        """
        if self._marker is None:
            return
        trouble = self._lost or self._lock.trouble()
        try:
            if trouble:
                self._marker.silence()
                if not isinstance(error, LostFolderError):
                    raise LostFolderError(f"{trouble}; start the command again, in another --out if it happens again")
            elif error is not None and not isinstance(error, IncompleteError) and not self._worth_keeping(error):
                self._withdraw()
            else:
                self._marker.stop(*_ending(error))
        except OSError as failure:
            if error is None:
                raise
            say(f"warning: could not note the end of the run in {self.folder}: {failure.strerror}")
        finally:
            self._lock.release()

    def _worth_keeping(self, error: BaseException) -> bool:
        if isinstance(error, Exception) and not isinstance(error, (OneLineError, MemoryError)):
            write_text(self.folder / ERROR_LOG, "".join(traceback.format_exception(error)))
        return holds_results(self.folder)

    def _withdraw(self) -> None:
        assert self._marker is not None
        self._marker.withdraw()
        (self.folder / INPUTS).unlink(missing_ok=True)
        self._lock.release(remove=True)
        if self._created and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _lose(self, text: str) -> None:
        self._lost = text
        _thread.interrupt_main()  # the main thread is at work and must stop; `close` says why

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _check_same_configuration(self, before: Any, now: Mapping[str, Any]) -> None:
        if not isinstance(before, dict):
            raise UserError(f"{self.folder / MARKER} is damaged; pass --overwrite or choose another --out")
        changed = [
            f"{name}={before.get(name)!r} (now {now.get(name)!r})"
            for name in sorted(set(before) | set(now))
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise UserError(
                f"{self.folder} holds a run with {', '.join(changed)}; "
                "choose another --out, or --overwrite to start again"
            )


def _ending(error: BaseException | None) -> tuple[str, str | None]:
    """Status and reason of a run that ended so."""
    if error is None:
        return "finished", None
    if isinstance(error, IncompleteError):
        return "finished", f"incomplete: {error}"
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "interrupted", None
    return "failed", str(error) if isinstance(error, OneLineError) else f"{type(error).__name__}: {error}"
