"""What is kept between runs because it is dear to compute and its content is its name: never needed, never trusted.

The folder is `$NEURAL_CODES_CACHE`, else `$XDG_CACHE_HOME/neural-codes`, else `~/.cache/neural-codes`; with
`NEURAL_CODES_CACHE=off`, or where the folder cannot be written, nothing is kept and everything is computed again.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eval.files import atomic_path

VARIABLE, OFF = "NEURAL_CODES_CACHE", "off"
MAXIMUM_BYTES = 2 * 2**30
"""Of one kind of thing; the one that was used longest ago goes first."""


def user_folder() -> Path:
    """The suite's folder among the user's caches: also where data sets are downloaded to.

    Raises RuntimeError where the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "neural-codes"


def cache_folder() -> Path | None:
    """Where things are kept between runs, `None` where nothing is to be."""
    named = os.environ.get(VARIABLE)
    if named == OFF:
        return None
    try:
        return Path(named).expanduser() if named else user_folder()
    except RuntimeError:
        return None


class KeptArrays:
    """Arrays by a name that is the hash of what they are computed from.

    kind: the folder's name. What is damaged is as good as not there. A failure to write is none of the caller's.
    """

    def __init__(self, kind: str) -> None:
        folder = cache_folder()
        self.folder = folder and folder / kind

    def read(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of that name, `None` where there are none that can be read. Never unpickles."""
        path = self.folder and self.folder / f"{name}.npz"
        if path is None or not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as data:
                found = {key: data[key] for key in data.files}
            os.utime(path)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            return None
        return found

    def write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays; where the folder then holds more than `MAXIMUM_BYTES`, what was used longest ago goes."""
        if self.folder is None:
            return
        try:
            with atomic_path(self.folder / f"{name}.npz") as temporary:
                np.savez(temporary, **dict(arrays))  # type: ignore[arg-type]
            self._make_room()
        except OSError:
            return

    def _make_room(self) -> None:
        assert self.folder is not None
        files = {path: path.stat() for path in self.folder.glob("*.npz")}
        left = sum(one.st_size for one in files.values())
        for path in sorted(files, key=lambda path: files[path].st_mtime):
            if left <= MAXIMUM_BYTES:
                return
            path.unlink(missing_ok=True)
            left -= files[path].st_size
