"""A run folder: configuration, environment, items done so far, results. Writes are atomic; the same command continues.

    runs/report/
      run.json        command line, configuration, inputs, code, environment, status (`eval.run_marker`)
      items/*.json    one finished piece of work each: a run that is killed loses at most the one under way
      arrays/*.npz    arrays of finished pieces
      figures/ tables/
      results.json    the documented keys and `provenance`
      error.log       the traceback of what went wrong unforeseen

Beside every item and every array lies its seal (`eval.files`): content hash and origin (`eval.run_identity`). A damaged
piece is set aside as `*.damaged`, one made by other code or from other inputs as `*.stale`; both are named on stderr
and made again. Under `torchrun` only the main process writes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.files import atomic_path, json_ready, json_text, write_text
from eval.options import FolderConfig
from eval.processes import is_main_process, usable_cores, world_size
from eval.run_folder import INPUTS, OpenFolder
from eval.run_identity import Origin, code_of, identity, module_of, platform_name, short_hash, versions
from eval.run_items import MISSING, KeptPieces, Missing, slug
from eval.run_marker import now_text, read_marker

__all__ = ["Run", "atomic_path", "json_ready", "json_text"]


class Run:
    """An open run folder. Use `Run.open` as a context manager, or `Run(folder)` from a script for a plain folder.

    `Run(folder)` on a folder that another process has open (a worker's view) takes configuration, inputs and code from
    its `run.json`; on a finished one it reads what is there, of whatever origin.

    modules: whose code makes the results, where an item does not say so itself.
    """

    def __init__(
        self, folder: str | Path, config: Any = None, command: Sequence[str] = (), modules: Sequence[str] = ()
    ) -> None:
        self.folder = Path(folder)
        self.config = config
        self.command = list(command)
        self.modules = tuple(modules)
        self.writes = is_main_process()
        self.started = time.time()
        reuse = bool(getattr(config, "reuse_stale", False))
        self.pieces = KeptPieces(self.folder, writes=self.writes, reuse_stale=reuse)
        self._inputs: dict[str, str] = {}
        self._config_hash = short_hash(self._identity())
        self._open = OpenFolder(self.folder)
        if config is None:
            self._take_over()

    def _take_over(self) -> None:
        try:
            found = read_marker(self.folder) or {}
        except UserError:  # damaged: a plain view needs none
            return
        if isinstance(found.get("identity"), dict):
            self._config_hash = short_hash(found["identity"])
            self._inputs = dict(found.get("inputs") or {})
            self.modules = self.modules or tuple(found.get("modules") or ())
            self.pieces.reuse_stale = bool(found.get("reuse_stale"))
            self.pieces.any_origin = found.get("status") != "running"

    @classmethod
    def open(cls, config: FolderConfig, command: Sequence[str] = (), modules: Sequence[str] = ()) -> Run:
        """Open or continue the run in `config.out`.

        Raises `UserError` for a folder with another configuration (the difference is named), a folder that holds
        something else, an unwritable folder, and a run that another process has open.
        """
        run = cls(config.out, config, command, modules)
        if run.writes:
            run._open.open(run._facts(), overwrite=config.overwrite)
        return run

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close(error)

    def _identity(self) -> dict[str, Any]:
        verb = next((word for word in self.command[1:] if not word.startswith("-")), "")
        return {"verb": verb, **(identity(self.config) if self.config is not None else {})}

    def _facts(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "identity": self._identity(),
            "config": json_ready(self.config),
            "inputs": dict(self._inputs),
            "modules": list(self.modules),
            "code": code_of(self.modules),
            "reuse_stale": self.pieces.reuse_stale,
            "provenance": self.provenance(),
        }

    def inputs(self, **hashes: str) -> None:
        """Declare what the results are made from: content hash by name (`model`, `corpus`, `images`, ...).

        Call it before the first item: an item that was made from other content is stale.
        """
        self._inputs |= {name: str(value) for name, value in hashes.items()}
        self._open.state(inputs=dict(self._inputs))

    def require_inputs(self, **hashes: str) -> None:
        """Declare inputs that a half-finished piece of work cannot change under way (the images of a training run).

        Raises:
            UserError: the folder was started on other content; the input is named.
        """
        try:
            known = dict(json.loads(self.path(INPUTS).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            known = {}
        for name, value in hashes.items():
            if known.get(name, value) != value:
                raise UserError(
                    f"expected the {name} that {self.folder} was started on (content {known[name][:12]}); got other "
                    f"content ({value[:12]}); restore it, choose another --out, or --overwrite to start again"
                )
        self.write_json(INPUTS, known | hashes)
        self.inputs(**hashes)

    def path(self, name: str) -> Path:
        return self.folder / name

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the run atomically (main process only); returns its path."""
        path = self.path(name)
        if self.writes:
            self._open.check()
            write_text(path, text)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        return self.write_text(name, json_text(value))

    def _origin(self, modules: Sequence[str]) -> Origin:
        return Origin(self._config_hash, dict(self._inputs), code_of(modules), tuple(sorted(set(modules))))

    def write_arrays(self, name: str, *, of: Any = (), **arrays: Any) -> Path:
        """Save arrays as `arrays/<name>.npz`, atomically and sealed; `of` as for an item (default: the verb's code)."""
        if self.writes:
            self._open.check()
            self.pieces.write_arrays(name, arrays, self._origin(of or self.modules))
        return self.pieces.arrays_path(name)

    def read_arrays(self, name: str, *, of: Sequence[str] = ()) -> dict[str, np.ndarray] | None:
        """The arrays saved under `name`; `None` where there are none that are whole and still good. Never unpickles."""
        found = self.pieces.read_arrays(name, self._origin(of or self.modules))
        return None if isinstance(found, Missing) else found

    def has_item(self, name: str, *, of: Sequence[str]) -> bool:
        """Whether the item is there, whole, and still good for the code of the modules `of`."""
        return self.pieces.is_good(self.pieces.item_path(name), self._origin(of))

    def item(self, name: str, compute: Callable[[], Any], *, of: Sequence[str] = ()) -> Any:
        """The finished piece of work `name`: read back where it was done before, else computed and kept.

        of: the modules whose code (and whatever of the project they import, drawing left out) decides the value; by
        default the module that defines `compute`. Edited code, other inputs or damage: computed again.
        """
        of = tuple(of) or (module_of(compute),)
        origin, kept = self._origin(of), self.read_item(name, of=of)
        if not isinstance(kept, Missing):
            return kept
        value = json_ready(compute())
        if self.writes:
            self._open.check()
            self.pieces.write_item(name, value, origin)
        return value

    def read_item(self, name: str, *, of: Sequence[str]) -> Any:
        """The value of an item that is whole and still good, or `MISSING`."""
        return self.pieces.read_item(name, self._origin(of))

    def read_item_with_arrays(self, name: str, *, of: Sequence[str]) -> tuple[Any, dict[str, np.ndarray]] | Missing:
        """An item and the arrays of its name; `MISSING` where one of them is."""
        kept, arrays = self.read_item(name, of=of), self.pieces.read_arrays(slug(name), self._origin(of))
        return MISSING if isinstance(kept, Missing) or isinstance(arrays, Missing) else (kept, arrays)

    def item_with_arrays(
        self, name: str, compute: Callable[[], tuple[Any, Mapping[str, Any]]], *, of: Sequence[str] = ()
    ) -> tuple[Any, dict[str, np.ndarray]]:
        """An item and the arrays of the same name, kept as one piece: `compute` gives both, and where one of them is
        missing, damaged or stale both are made again."""
        of = tuple(of) or (module_of(compute),)
        origin, kept = self._origin(of), self.read_item_with_arrays(name, of=of)
        if not isinstance(kept, Missing):
            return kept
        computed, made = compute()
        value = json_ready(computed)
        if self.writes:
            self._open.check()
            self.pieces.write_arrays(slug(name), made, origin)
            self.pieces.write_item(name, value, origin)
        return value, {key: np.asarray(array) for key, array in made.items()}

    def provenance(self) -> dict[str, Any]:
        """Where a number came from: versions, machine, command, configuration and its hash, inputs, code, seed."""
        return {
            "versions": versions(),
            "platform": platform_name(),
            "cores": usable_cores(),
            "processes": world_size(),
            "command": self.command or [Path(sys.argv[0]).name, *sys.argv[1:]],
            "config": self._identity(),
            "config_hash": self._config_hash,
            "inputs": dict(self._inputs),
            "code": code_of(self.modules),
            "seed": getattr(self.config, "seed", None),
            "device": getattr(self.config, "device", None),
            "started": now_text(self.started),
            "seconds": round(time.time() - self.started, 2),
        }

    def finish(self, results: Mapping[str, Any], **provenance: Any) -> dict[str, Any]:
        """Write `results.json`: the given keys, and `provenance` (to which the caller adds)."""
        whole = {**results, "provenance": {**self.provenance(), **json_ready(provenance)}}
        self.write_json("results.json", whole)
        return whole
