"""Windows of tokens that know their document: what a corpus is once it has been tokenised, packed and sampled.

Axes: window; position (0 .. context - 1); document. No window mixes documents. A window is `<BOS>` (unless
`prepend_bos=False`) followed by consecutive tokens of one document, from `start` on; the last window of a document is
padded on the right, and dropped where it would hold fewer than `MINIMUM_WINDOW` tokens of text.

Position 0: models park an enormous activation on the first token. The corpus leaves it in, with BOS there where BOS is
prepended, and says so in `describe()`; what reads activations excludes it by default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_codes.encoding.encoder import Encoded

if TYPE_CHECKING:
    from torch import Tensor

MINIMUM_WINDOW = 8  # tokens of text


@dataclass(frozen=True)
class Batch:
    """Windows for one forward pass.

    tokens: int64 [window, position], padding included.
    mask: bool [window, position], true at BOS and at text that counts (all, or what the roles asked for said), false
        elsewhere and at padding.
    document: int64 [window], an index into `Corpus.documents`.
    window: int64 [window], the number of each window in the unsharded corpus.
    """

    tokens: Tensor
    mask: Tensor
    document: Tensor
    window: Tensor


@dataclass(frozen=True, eq=False)
class Corpus:
    """Packed windows, in an order shuffled by the seed: any first part of them is spread over the documents.

    tokens: int32 [window, position]; mask: bool [window, position], the positions that count, as in `Batch`;
    document: int64 [window]; start: int64 [window], the index in its document of a window's first token of text;
    window: int64 [window]; documents: their names; filled: int64 [window], positions before the padding (`None`: those
    of the mask).
    """

    tokens: np.ndarray
    mask: np.ndarray
    document: np.ndarray
    start: np.ndarray
    window: np.ndarray
    documents: tuple[str, ...]
    prepend_bos: bool
    provenance: dict[str, Any]
    filled: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """int64 [window]: positions before the padding, whether they count or not."""
        return self.mask.sum(axis=1) if self.filled is None else self.filled

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.tokens)

    @property
    def n_documents(self) -> int:
        """Documents with at least one window here. Below 20, what is resampled over documents is undefined."""
        return len(np.unique(self.document))

    @property
    def n_tokens(self) -> int:
        """Tokens of text that count: not BOS, padding and other roles' words."""
        return int(self.mask.sum()) - (len(self) if self.prepend_bos else 0)

    @property
    def context(self) -> int:
        return self.tokens.shape[1]

    def __repr__(self) -> str:
        source = self.provenance.get("source", "windows")
        split = f" ({self.provenance['split']})" if "split" in self.provenance else ""
        return (
            f"Corpus of {source}{split}: {self.n_tokens:,} tokens of {self.n_documents} documents, {len(self)} windows "
            f"of {self.context}, BOS {'prepended' if self.prepend_bos else 'not prepended'}"
        )

    def describe_in_words(self) -> str:
        """The view, for the head of a page."""
        read, documents = self.provenance, "1 document" if self.n_documents == 1 else f"{self.n_documents} documents"
        return (
            f"{self.n_tokens:,} tokens of {documents} of {read.get('source', 'a text')} (split: "
            f"{read.get('split', 'all')}), in windows of {self.context}"
        )

    def describe(self) -> dict[str, Any]:
        """Everything that decides which tokens a model reads, for the provenance of a result."""
        return {**self.provenance, **self.view()}

    def view(self) -> dict[str, Any]:
        """What these windows take of their documents."""
        return {
            "n_windows": len(self),
            "n_documents": self.n_documents,
            "n_tokens": self.n_tokens,
            "context": self.context,
            "bos": "prepended to every window, at position 0" if self.prepend_bos else "not prepended",
            "position_0": f"{'BOS' if self.prepend_bos else 'text'}; in the windows, left out by the harvest",
            "windows": f"one document each, padded on the right, at least {MINIMUM_WINDOW} tokens of text",
            "sha256_of_tokens": hashlib.sha256(self.tokens.tobytes() + self.mask.tobytes()).hexdigest(),
        }

    def shard(self, rank: int, world_size: int) -> Corpus:
        """Every `world_size`-th window from `rank` on: shards are disjoint and together the corpus."""
        if not 0 <= rank < world_size:
            raise ValueError(f"expected 0 <= rank < world_size; got rank={rank}, world_size={world_size}")
        return self.select(np.arange(rank, len(self), world_size))

    def select(self, windows: Sequence[int] | np.ndarray) -> Corpus:
        """Some of the windows, in the given order; document and window numbers stay as they are."""
        fields = ("tokens", "mask", "document", "start", "window", *(("filled",) if self.filled is not None else ()))
        return replace(self, **{name: getattr(self, name)[np.asarray(windows, dtype=np.int64)] for name in fields})

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All windows in order, `batch_size` at a time, without the positions that are padding in the whole batch."""
        import torch

        if batch_size < 1:
            raise ValueError(f"expected batch_size >= 1; got {batch_size}")
        for first in range(0, len(self), batch_size):
            rows = slice(first, first + batch_size)
            width = int(self.lengths[rows].max())
            yield Batch(
                tokens=torch.from_numpy(self.tokens[rows, :width].astype(np.int64)),
                mask=torch.from_numpy(self.mask[rows, :width].copy()),
                document=torch.from_numpy(self.document[rows].copy()),
                window=torch.from_numpy(self.window[rows].copy()),
            )


def pack(documents: Sequence[Encoded], names: Sequence[str], length: int, bos: int | None, padding: int) -> Corpus:
    """Cut each document into windows of `length` tokens, in order; those with too few that count are left out."""
    minimum = min(MINIMUM_WINDOW, length)
    cuts = [
        (number, start)
        for number, document in enumerate(documents)
        for start in range(0, len(document), length)
        if document.count(start, start + length) >= minimum
    ]
    offset = 0 if bos is None else 1
    packed = np.full((len(cuts), length + offset), padding, dtype=np.int32)
    mask = np.zeros(packed.shape, dtype=bool)
    filled = np.zeros(len(cuts), dtype=np.int64)
    if bos is not None:
        packed[:, 0], mask[:, 0] = bos, True
    for row, (number, start) in enumerate(cuts):
        document = documents[number]
        piece = document.tokens[start : start + length]
        filled[row] = offset + len(piece)
        packed[row, offset : filled[row]] = piece
        mask[row, offset : filled[row]] = True if document.counted is None else document.counted[start : start + length]
    document, start = np.array(cuts, dtype=np.int64).reshape(-1, 2).T
    return Corpus(packed, mask, document, start, np.arange(len(cuts)), tuple(names), bos is not None, {}, filled)


def sample(corpus: Corpus, n_tokens: int | None, seed: int) -> Corpus:
    """Shuffle the windows, keep the fewest first ones that hold `n_tokens`, and number what is left from 0."""
    return first_windows(corpus.select(np.random.default_rng(seed).permutation(len(corpus))), n_tokens)


def first_windows(corpus: Corpus, n_tokens: int | None) -> Corpus:
    """The fewest first windows that hold `n_tokens` tokens (all: `None`), windows and documents numbered from 0."""
    if n_tokens is not None:
        held = np.cumsum(corpus.mask.sum(axis=1) - int(corpus.prepend_bos))
        corpus = corpus.select(np.arange(min(len(corpus), int(np.searchsorted(held, n_tokens)) + 1)))
    kept, document = np.unique(corpus.document, return_inverse=True)
    names = tuple(corpus.documents[number] for number in kept)
    return replace(corpus, document=document.astype(np.int64), documents=names, window=np.arange(len(corpus)))
