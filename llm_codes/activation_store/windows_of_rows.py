"""The windows behind the rows of a store: the text as the model met it, and where each window's rows lie.

Axes: window, position, row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.errors import UserError
from llm_codes.activation_store.layout import Manifest
from llm_codes.windows import Corpus

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StoredWindows:
    """Where windows lie. shard, first, stop: int64 [window], rows within the shard; position: int32 [row of all]."""

    shard: np.ndarray
    first: np.ndarray
    stop: np.ndarray
    offset: np.ndarray
    position: np.ndarray

    def where(self, window: int) -> tuple[int, int, int]:
        """Shard, first row and the row after the last."""
        return int(self.shard[window]), int(self.first[window]), int(self.stop[window])

    def positions_of(self, window: int) -> np.ndarray:
        """The positions of its rows, int32 [row]."""
        start = int(self.offset[window])
        return self.position[start : start + int(self.stop[window] - self.first[window])]


def window_starts(columns: Columns) -> np.ndarray:
    """First row of every window of a shard: where the window's number changes; without numbers, where the document
    changes or the position does not rise."""
    window, position, document = columns.get("window"), columns["position"], columns["document"]
    changes = (
        (np.diff(document) != 0) | (np.diff(position) <= 0) if window is None else np.diff(window.astype(np.int64)) != 0
    )
    return np.concatenate([[0], 1 + np.flatnonzero(changes)]).astype(np.int64)


def windows_of(shards: Sequence[Columns], manifest: Manifest) -> tuple[StoredWindows, Corpus]:
    """Every window of the store, in order, and the corpus they make.

    Raises:
        UserError: no row, a position twice in a window or outside the context, a document without a name.
    """
    starts = [window_starts(columns) for columns in shards if len(columns["position"])]
    if len(starts) != len(shards):
        raise UserError("expected rows in every shard of a store; got one without; leave it out of store.json")
    lengths = [len(columns["position"]) for columns in shards]
    number = np.concatenate([np.full(len(some), index) for index, some in enumerate(starts)])
    first = np.concatenate(starts)
    stop = np.concatenate([np.append(some[1:], length) for some, length in zip(starts, lengths, strict=True)])
    offset = first + np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)[number]
    position = _joined(shards, "position", 0).astype(np.int32)
    found = StoredWindows(number, first, stop, offset, position)
    return found, _corpus(shards, found, manifest)


def _joined(shards: Sequence[Columns], name: str, default: int) -> np.ndarray:
    """A column over all shards; `default` in those that lack it."""
    return np.concatenate([columns.get(name, np.full(len(columns["position"]), default)) for columns in shards])


def _corpus(shards: Sequence[Columns], found: StoredWindows, manifest: Manifest) -> Corpus:
    window = np.repeat(np.arange(len(found.first)), found.stop - found.first)
    context = manifest.context or int(found.position.max()) + 1
    if found.position.min() < 0 or found.position.max() >= context:
        raise UserError(
            f"expected positions of a store within its context, 0..{context - 1}; got {found.position.min()} to "
            f"{found.position.max()}; mend `context` of store.json"
        )
    tokens = np.full((len(found.first), context), manifest.padding, dtype=np.int32)
    mask = np.zeros(tokens.shape, dtype=bool)
    place = (window, found.position)
    mask[place] = True
    if mask.sum() != len(window):
        raise UserError("expected each position of a window once; got one twice; number the windows (column `window`)")
    tokens[place] = _joined(shards, "token", 0)
    mask[place] = _joined(shards, "counts", 1).astype(bool)
    filled = np.zeros(len(tokens), dtype=np.int64)
    np.maximum.at(filled, window, found.position.astype(np.int64) + 1)
    document = _joined(shards, "document", 0).astype(np.int64)[found.offset]
    names = manifest.documents or tuple(f"document {number}" for number in range(int(document.max()) + 1))
    if document.min() < 0 or document.max() >= len(names):
        raise UserError(
            f"expected documents 0..{len(names) - 1} in a store; got {document.min()} to {document.max()}; name them "
            "all in `documents` of store.json"
        )
    start = _joined(shards, "start", 0).astype(np.int64)[found.offset]
    said = {"source": f"activations of {manifest.model.get('name', 'a model')}", "split": "not stated"}
    said |= {"sha256": manifest.sha256}
    about = {key: value for key, value in manifest.corpus.items() if key not in VIEW} or said
    numbers = np.arange(len(tokens))
    return Corpus(tokens, mask, document, start, numbers, names, manifest.prepend_bos, about, filled)


VIEW = (
    "n_windows",
    "n_documents",
    "n_tokens",
    "context",
    "bos",
    "position_0",
    "windows",
    "sha256_of_tokens",
)
"""What `Corpus.view` says of the windows themselves: not part of where they came from."""
