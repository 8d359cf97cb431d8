"""A run folder: configuration, environment, items done so far, results. Writes are atomic; the same command continues.

    runs/report/
      run.json        command line, configuration and its hash, environment, when it started and finished
      items/*.json    one finished piece of work each: a run that is killed loses at most the one under way
      arrays/*.npz    arrays of finished pieces
      figures/ tables/
      results.json    the documented keys and `provenance`

Under `torchrun` only the main process writes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.flags import flat_values
from eval.options import RunConfig
from eval.processes import is_main_process, usable_cores, world_size

PACKAGES = (
    "neural-codes torch transformer-lens sae-lens transformers datasets numpy scipy scikit-learn tokenizers safetensors"
).split()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def json_ready(value: Any) -> Any:
    """Plain JSON types; a non-finite number is an error here, because an undefined result needs a reason."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return json_ready(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return json_ready(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_ready(item) for item in value]
    if isinstance(value, np.generic):
        return json_ready(value.item())
    if isinstance(value, Path):
        return str(value)
    to_list = getattr(value, "tolist", None)  # a torch tensor, without importing torch
    if to_list is not None and not isinstance(value, (str, bytes, type)):
        return json_ready(to_list())
    return value


def json_text(value: Any) -> str:
    """Strict JSON: refuses NaN and infinity by name."""
    try:
        return json.dumps(json_ready(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError as error:
        raise ValueError(f"a result holds NaN or infinity: use null and a reason beside it ({error})") from error


def versions() -> dict[str, str | None]:
    """Installed versions of the packages that decide the numbers."""

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def identity(config: Any) -> dict[str, Any]:
    """The fields of a configuration that decide the results."""
    return json_ready(flat_values(config, identity_only=True))


class Run:
    """An open run folder. Use `Run.open` as a context manager, or `Run(folder)` from a script for a plain folder."""

    def __init__(self, folder: str | Path, config: Any = None, command: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self.config = config
        self.command = list(command)
        self.writes = is_main_process()
        self.started = time.time()
        self._lock: Any = None

    @classmethod
    def open(cls, config: RunConfig, command: Sequence[str] = ()) -> Run:
        """Open or continue the run in `config.out`.

        Raises `UserError` for a folder with another configuration (the difference is named), a folder that holds
        something else, an unwritable folder, and a run that another process has open.
        """
        run = cls(config.out, config, command)
        if not run.writes:
            return run
        try:
            run._prepare(overwrite=config.overwrite)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise UserError(f"cannot write to {run.folder}: {error.strerror}; choose another --out") from error
        return run

    def _prepare(self, *, overwrite: bool) -> None:
        marker = self.folder / "run.json"
        if self.folder.is_dir() and any(self.folder.iterdir()) and not marker.exists():
            names = sorted(path.name for path in self.folder.iterdir())
            if names != [".lock"]:
                raise UserError(f"{self.folder} is not a run folder (it holds {names[0]}); choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        if marker.exists():
            if overwrite:
                self._clear()
            else:
                self._check_same_configuration(marker)
        self._write_marker(finished=None)

    def _take_lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: no advisory lock
            return
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another process is writing to {self.folder}; wait for it or choose another --out"
            ) from error

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _check_same_configuration(self, marker: Path) -> None:
        try:
            before = json.loads(marker.read_text())["identity"]
        except (ValueError, KeyError) as error:
            raise UserError(f"{marker} is damaged; pass --overwrite or choose another --out") from error
        now = self._identity()
        names = sorted(set(before) | set(now))
        changed = [
            f"{name}={before.get(name)!r} (now {now.get(name)!r})"
            for name in names
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise UserError(
                f"{self.folder} holds a run with {', '.join(changed)}; "
                "choose another --out, or --overwrite to start again"
            )

    def _identity(self) -> dict[str, Any]:
        verb = next((word for word in self.command[1:] if not word.startswith("-")), "")
        return {"verb": verb, **(identity(self.config) if self.config is not None else {})}

    def _write_marker(self, finished: float | None) -> None:
        self.write_json(
            "run.json",
            {
                "command": self.command,
                "identity": self._identity(),
                "config": self.config,
                "provenance": self.provenance(),
                "finished": finished,
            },
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.writes:
            self._write_marker(finished=time.time())
        if self._lock is not None:
            self._lock.close()

    def path(self, name: str) -> Path:
        return self.folder / name

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the run atomically (main process only); returns its path."""
        path = self.path(name)
        if self.writes:
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return path

    def write_json(self, name: str, value: Any) -> Path:
        return self.write_text(name, json_text(value))

    def write_arrays(self, name: str, **arrays: Any) -> Path:
        """Save arrays as `arrays/<name>.npz`, atomically."""
        path = self.path(f"arrays/{name}.npz")
        if self.writes:
            with atomic_path(path) as temporary:
                plain: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
                np.savez(temporary, **plain)
        return path

    def read_arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays saved under `name`, or `None`. Never unpickles."""
        path = self.path(f"arrays/{name}.npz")
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in data.files}

    def item(self, name: str, compute: Callable[[], Any]) -> Any:
        """The finished piece of work `name`: read back where it was done before, else computed and kept."""
        slug = re.sub(r"[^\w.=-]+", "_", name)
        path = self.path(f"items/{slug}.json")
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        value = json_ready(compute())
        self.write_json(f"items/{slug}.json", value)
        return value

    def provenance(self) -> dict[str, Any]:
        """Where a number came from: versions, machine, command, configuration and its hash, seed."""
        config = self._identity()
        return {
            "versions": versions(),
            "platform": f"{platform.system()} {platform.machine()}",
            "cores": usable_cores(),
            "processes": world_size(),
            "command": self.command or [Path(sys.argv[0]).name, *sys.argv[1:]],
            "config": config,
            "config_hash": hashlib.sha256(json_text(config).encode()).hexdigest()[:16],
            "seed": getattr(self.config, "seed", None),
            "device": getattr(self.config, "device", None),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(time.time() - self.started, 2),
        }

    def finish(self, results: Mapping[str, Any], **provenance: Any) -> dict[str, Any]:
        """Write `results.json`: the given keys, and `provenance` (to which the caller adds)."""
        whole = {**results, "provenance": {**self.provenance(), **json_ready(provenance)}}
        self.write_json("results.json", whole)
        return whole
