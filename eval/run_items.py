"""Finished pieces of work in a run folder: read back where they are whole and still good, else said and made again."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import is_intact, json_text, read_seal, sealed_path, set_aside
from eval.progress import say
from eval.run_identity import Origin

DAMAGED, STALE = ".damaged", ".stale"


class Missing:
    """There is no piece of that name, or none that may be used."""


MISSING = Missing()


def slug(name: str) -> str:
    """The name of an item as a file name."""
    return re.sub(r"[^\w.=-]+", "_", name)


class KeptPieces:
    """The items and arrays of one run folder.

    reuse_stale: accept pieces made by other code or from other inputs, as they are, and say so. any_origin: the same
    without a word (another run's folder, read as it is). writes: whether this process may set files aside and write.
    """

    def __init__(self, folder: Path, *, writes: bool = True, reuse_stale: bool = False) -> None:
        self.folder = folder
        self.writes = writes
        self.reuse_stale = reuse_stale
        self.any_origin = False
        self._said: set[Path] = set()

    def item_path(self, name: str) -> Path:
        return self.folder / "items" / f"{slug(name)}.json"

    def arrays_path(self, name: str) -> Path:
        return self.folder / "arrays" / f"{name}.npz"

    def is_good(self, path: Path, origin: Origin) -> bool:
        """Whether `path` is whole and of the given origin. What is damaged is set aside; what is stale is named."""
        if not path.exists():
            return False
        found = read_seal(path)
        if found is not None and not is_intact(path):
            self._damaged(path)
            return False
        if self.any_origin:
            return True
        before = Origin.from_json(found.get("origin")) if found else None
        changes = (
            ["no word of its origin (an older version wrote it)"] if before is None else before.differences(origin)
        )
        if not changes:
            return True
        self._say_once(path, f"{self._shown(path)} is stale: {', '.join(changes)}; " + self._cure())
        return self.reuse_stale

    def _cure(self) -> str:
        return "used as it is (--reuse-stale)" if self.reuse_stale else "computed again (--reuse-stale accepts it)"

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.folder))

    def _damaged(self, path: Path) -> None:
        if self.writes:
            aside = set_aside(path, DAMAGED).name
            self._say_once(path, f"{self._shown(path)} is damaged: set aside as {aside}, computed again")

    def _say_once(self, path: Path, text: str) -> None:
        if path not in self._said and self.writes:
            self._said.add(path)
            say(f"warning: {text}")

    def read_item(self, name: str, origin: Origin) -> Any:
        """The value of an item, or `MISSING`."""
        path = self.item_path(name)
        if not self.is_good(path, origin):
            return MISSING
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # stale, accepted, and not JSON: older items have no seal that would have told
            self._damaged(path)
            return MISSING

    def write_item(self, name: str, value: Any, origin: Origin) -> Path:
        """Keep the value of an item; an older one of another origin is kept beside it as `.stale`."""
        path = self.item_path(name)
        text = json_text(value, indent=None)
        self._make_room(path, origin)
        with sealed_path(path, origin=origin.as_json()) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return path

    def read_arrays(self, name: str, origin: Origin) -> dict[str, np.ndarray] | Missing:
        """Arrays by name, or `MISSING`. Never unpickles."""
        path = self.arrays_path(name)
        if not self.is_good(path, origin):
            return MISSING
        try:
            with np.load(path, allow_pickle=False) as data:
                return {key: data[key] for key in data.files}
        except (zipfile.BadZipFile, EOFError, OSError):  # only where an unsealed file was accepted as it is
            self._damaged(path)
            return MISSING

    def write_arrays(self, name: str, arrays: Mapping[str, Any], origin: Origin) -> Path:
        """Keep arrays under a name, as `write_item` keeps a value."""
        path = self.arrays_path(name)
        self._make_room(path, origin)
        with sealed_path(path, origin=origin.as_json()) as temporary:
            plain: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
            np.savez(temporary, **plain)
        return path

    def _make_room(self, path: Path, origin: Origin) -> None:
        if not path.exists():
            return
        found = read_seal(path)
        before = Origin.from_json(found.get("origin")) if found else None
        if before is None or before.differences(origin):
            set_aside(path, STALE)

    def count(self) -> int:
        """Finished items in the folder."""
        return len(list((self.folder / "items").glob("*.json")))
