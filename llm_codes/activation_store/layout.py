"""What a store of activations holds on disk: safetensors shards, and `store.json`, which says whose they are.

    DIR/store.json                  the manifest below
    DIR/shard-00000.safetensors     rows: one token position each, in order of windows and positions
        document   int [row]        which document, an index into the manifest's `documents`
        position   int [row]        place in its window (position 0 is what statistics leave out by default)
        token      int [row]        token id; may be missing
        window     int [row]        which window (one sequence that the model read); may be missing: then a new one
                                    begins where the document changes or the position does not rise
        counts     bool [row]       whether statistics count it; may be missing: every row counts
        start      int [row]        index in its document of the window's first token; may be missing
        <hook>     float [row width]     the activations of each site, under its hook name: float32 or bfloat16

No window lies in two shards. Of `store.json`, `format`, `dtype`, `sites` (`hook` and `width`) and `shards` (`file` and
`sha256`) are all that another program must write. Identity is content: every shard is known by its hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eval.errors import UserError
from eval.files import json_text, write_text
from llm_codes.sites import Site, layer_of_hook

MANIFEST = "store.json"
FORMAT = "neural-codes activations 1"
COLUMNS = ("document", "position", "token", "window", "counts", "start")
DTYPES = ("float32", "bfloat16")
ELEMENT_BYTES = {"float32": 4, "bfloat16": 2}
COLUMN_BYTES = 5 * 4 + 1
OTHER = "hook named by another program"


@dataclass(frozen=True)
class Shard:
    """One file: its name in the folder, the hash of its content, how many rows and windows it holds (0: not said)."""

    file: str
    sha256: str
    rows: int = 0
    windows: int = 0


@dataclass(frozen=True)
class Manifest:
    """`store.json`.

    dtype: of the activations. sites: in the order of the computation. shards: in order of their windows.
    model: what read the text (`Model.provenance()`: name, `weights_sha256`, ...); without hashes, nobody can check it.
    corpus: what was read (`Corpus.describe()`), empty where it is not said. documents: their names.
    context: positions of a window (0: the highest position there is, and one). prepend_bos: whether position 0 is BOS.
    padding: the token id behind a window's end. dictionary: what a dictionary trained from here says of its model.
    """

    dtype: str
    sites: tuple[Site, ...]
    shards: tuple[Shard, ...]
    model: Mapping[str, Any] = field(default_factory=dict)
    corpus: Mapping[str, Any] = field(default_factory=dict)
    documents: tuple[str, ...] = ()
    context: int = 0
    prepend_bos: bool = False
    padding: int = 0
    dictionary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The content of the store: its sites, and every byte of every shard, in order."""
        what = [[site.hook, site.width] for site in self.sites]
        return hashlib.sha256(
            json.dumps([self.dtype, what, [shard.sha256 for shard in self.shards]]).encode()
        ).hexdigest()

    def write(self, folder: Path) -> Path:
        """Write `store.json`, whole or not at all: with it the store is complete."""
        path = folder / MANIFEST
        write_text(path, json_text({"format": FORMAT, **asdict(self), "sha256": self.sha256}))
        return path

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder.

        Raises:
            UserError: none, one that is no manifest, or one of an unfinished harvest.
        """
        path = folder / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            rest = "an unfinished harvest" if any(folder.glob("shard-*.safetensors")) else f"no {MANIFEST}"
            raise UserError(
                f"expected a store of activations in {folder}; got {rest}; finish `harvest --store {folder}`, or name "
                "another folder"
            ) from None
        except (OSError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        return cls._of_json(found, path)

    @classmethod
    def _of_json(cls, found: Any, path: Path) -> Manifest:
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            said = found.get("format") if isinstance(found, dict) else type(found).__name__
            raise UserError(f"expected {path} to say format {FORMAT!r}; got {said!r}; write it as `harvest` does")
        try:
            made = cls(
                dtype=str(found["dtype"]),
                sites=tuple(_site(entry) for entry in found["sites"]),
                shards=tuple(Shard(**entry) for entry in found["shards"]),
                model=dict(found.get("model") or {}),
                corpus=dict(found.get("corpus") or {}),
                documents=tuple(map(str, found.get("documents") or ())),
                context=int(found.get("context") or 0),
                prepend_bos=bool(found.get("prepend_bos")),
                padding=int(found.get("padding") or 0),
                dictionary=dict(found.get("dictionary") or {}),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(path, f"{type(error).__name__}: {error}") from error
        if made.dtype not in DTYPES or not made.sites or not made.shards:
            raise _damaged(path, f"dtype {made.dtype}, {len(made.sites)} sites, {len(made.shards)} shards")
        if found.get("sha256") not in (None, made.sha256):
            raise _damaged(path, "its sites and shards are not those its sha256 was written for")
        return made


def _site(entry: Mapping[str, Any]) -> Site:
    """A site of the manifest; what another program leaves out is read off the hook's name."""
    hook = str(entry["hook"])
    layer = layer_of_hook(hook) if entry.get("layer") is None else int(entry["layer"])
    return Site(hook, str(entry.get("kind") or hook), layer, int(entry["width"]), str(entry.get("meaning") or OTHER))


def _damaged(path: Path, why: str) -> UserError:
    line = " ".join(why.split())[:160]
    return UserError(f"expected {path} to be the manifest of a store; it is damaged ({line}); harvest again")
