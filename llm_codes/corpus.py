"""A corpus as the model meets it: windows of tokens that know their document.

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
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eval.errors import UserError, known_name
from llm_codes.documents import Document, Source, open_source

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "held-out", "all"]
SPLITS = ("train", "held-out", "all")
MINIMUM_WINDOW = 8  # tokens of text
POOL_TOKENS = 4_000_000  # tokenised before sampling, where a corpus has so many


@dataclass(frozen=True)
class Batch:
    """Windows for one forward pass.

    tokens: int64 [window, position], padding included.
    mask: bool [window, position], true at BOS and text, false at padding.
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

    tokens: int32 [window, position]; mask: bool [window, position]; document: int64 [window]; start: int64 [window],
    the index in its document of a window's first token of text; window: int64 [window]; documents: their names.
    """

    tokens: np.ndarray
    mask: np.ndarray
    document: np.ndarray
    start: np.ndarray
    window: np.ndarray
    documents: tuple[str, ...]
    prepend_bos: bool
    provenance: dict[str, Any]

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.tokens)

    @property
    def n_documents(self) -> int:
        """Documents with at least one window here. Below 20, what is resampled over documents is undefined."""
        return len(np.unique(self.document))

    @property
    def n_tokens(self) -> int:
        """Tokens of text: BOS and padding are not counted."""
        return int(self.mask.sum()) - (len(self) if self.prepend_bos else 0)

    @property
    def context(self) -> int:
        return self.tokens.shape[1]

    def describe(self) -> dict[str, Any]:
        """Everything that decides which tokens a model reads, for the provenance of a result."""
        return {
            **self.provenance,
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
        fields = ("tokens", "mask", "document", "start", "window")
        return replace(self, **{name: getattr(self, name)[np.asarray(windows, dtype=np.int64)] for name in fields})

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All windows in order, `batch_size` at a time, without the positions that are padding in the whole batch."""
        import torch

        if batch_size < 1:
            raise ValueError(f"expected batch_size >= 1; got {batch_size}")
        for first in range(0, len(self), batch_size):
            rows = slice(first, first + batch_size)
            width = int(self.mask[rows].sum(axis=1).max())
            yield Batch(
                tokens=torch.from_numpy(self.tokens[rows, :width].astype(np.int64)),
                mask=torch.from_numpy(self.mask[rows, :width].copy()),
                document=torch.from_numpy(self.document[rows].copy()),
                window=torch.from_numpy(self.window[rows].copy()),
            )


def load_corpus(
    source: str,
    tokenizer: Any,
    *,
    context: int,
    n_tokens: int | None = None,
    split: Split = "train",
    seed: int = 0,
    prepend_bos: bool = True,
    document_separator: str | None = None,
    text_column: str = "text",
) -> Corpus:
    """Read, split by document, tokenise and pack a corpus.

    Args:
        source: see `llm_codes.documents`.
        tokenizer: a `transformers` tokenizer.
        context: positions in a window, BOS included.
        n_tokens: the fewest windows that hold this many tokens of text are drawn, without replacement and over all
            documents read; `None` takes every window. Reading stops at `POOL_TOKENS` or four times `n_tokens`,
            whichever is more (a streamed source: at four times `n_tokens`). Local text is held in memory.
        split: `train`, `held-out` (every tenth document) or `all`.
        seed: the order of the windows, and so the choice of `n_tokens`; not the split.
        prepend_bos: start every window with the tokenizer's BOS (its EOS where it has no BOS).
        document_separator: a regular expression that splits a text file into documents.
        text_column: the column of JSONL, Parquet and Hub rows.

    Returns:
        A `Corpus`. It may hold fewer than `n_tokens` tokens where the source does: `n_tokens` says how many.

    Raises:
        UserError: unreadable source (see `open_source`), no document in the split, no window long enough, a streamed
            source without `n_tokens`, no BOS or EOS in the tokenizer.
    """
    known_name(split, SPLITS, "split")
    bos = _bos(tokenizer) if prepend_bos else None
    length = context - int(prepend_bos)
    if length < 1:
        raise UserError(f"expected a context of at least 2 tokens; got {context}")
    opened = open_source(source, document_separator=document_separator, text_column=text_column, seed=seed)
    if opened.streamed and n_tokens is None:
        raise UserError(f"{source} is streamed and may not end; say how many tokens to read with --tokens")
    enough = float("inf") if n_tokens is None else max(4 * n_tokens, 0 if opened.streamed else POOL_TOKENS)
    documents, tokens = _read(_in_split(opened, split, seed), tokenizer, enough)
    if not documents:
        raise UserError(f"no document of {source} falls in split {split!r}; use split all, or give more documents")
    corpus = _pack(tokens, [document.name for document in documents], length, bos, _padding(tokenizer))
    if not len(corpus):
        raise UserError(f"no document of {source} has {MINIMUM_WINDOW} tokens; expected longer texts")
    digests = "".join(sorted(document.sha256 for document in documents))
    provenance = {
        "source": source,
        "kind": opened.kind,
        "split": split,
        "seed": seed,
        "n_documents_read": len(documents),
        "n_tokens_read": int(sum(map(len, tokens))),
        "sha256": hashlib.sha256(digests.encode()).hexdigest(),
    }
    return _sample(replace(corpus, provenance=provenance), n_tokens, seed)


def _bos(tokenizer: Any) -> int:
    """The tokenizer's BOS, else its EOS, with which GPT-2's kin begin a text."""
    known = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]
    if not known:
        raise UserError(
            "expected a tokenizer with a BOS or EOS token to prepend, it has neither; pass prepend_bos=False"
        )
    return int(known[0])


def _padding(tokenizer: Any) -> int:
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id, 0)
    return next(int(token) for token in candidates if token is not None)


def _in_split(opened: Source, split: Split, seed: int) -> Iterator[Document]:
    """The documents of the split that have text; local ones in an order shuffled by the seed, a lone one in `train`."""
    documents = opened.documents
    if not opened.streamed:
        listed = [document for document in documents if document.text.strip()]
        if len(listed) == 1:
            yield from listed if split != "held-out" else []
            return
        documents = [listed[number] for number in np.random.default_rng(seed).permutation(len(listed))]
    for document in documents:
        if document.text.strip() and (split == "all" or document.held_out == (split == "held-out")):
            yield document


def _read(documents: Iterator[Document], tokenizer: Any, enough: float) -> tuple[list[Document], list[np.ndarray]]:
    """Documents and their tokens, some documents at a time, until there are `enough` tokens or no more documents."""
    read: list[Document] = []
    tokens: list[np.ndarray] = []
    count = 0
    while count < enough and (some := list(islice(documents, 32))):
        encoded = encode([document.text for document in some], tokenizer)
        read, tokens, count = read + some, tokens + encoded, count + sum(map(len, encoded))
    return read, tokens


def encode(texts: Sequence[str], tokenizer: Any) -> list[np.ndarray]:
    """Token ids of each text, int32 [token], without special tokens; whole documents, however long."""
    if not texts:
        return []
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # quicker, and silent about texts longer than the model's context
        encodings = backend.encode_batch(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.int32) for encoding in encodings]
    ids = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return [np.asarray(one, dtype=np.int32) for one in ids]


def _pack(tokens: list[np.ndarray], names: list[str], length: int, bos: int | None, padding: int) -> Corpus:
    """Cut each document into windows of `length` tokens, in order."""
    minimum = min(MINIMUM_WINDOW, length)
    cuts = [
        (number, start)
        for number, document in enumerate(tokens)
        for start in range(0, len(document), length)
        if len(document) - start >= minimum
    ]
    offset = 0 if bos is None else 1
    packed = np.full((len(cuts), length + offset), padding, dtype=np.int32)
    mask = np.zeros(packed.shape, dtype=bool)
    if bos is not None:
        packed[:, 0], mask[:, 0] = bos, True
    for row, (number, start) in enumerate(cuts):
        piece = tokens[number][start : start + length]
        packed[row, offset : offset + len(piece)] = piece
        mask[row, offset : offset + len(piece)] = True
    document, start = np.array(cuts, dtype=np.int64).reshape(-1, 2).T
    return Corpus(packed, mask, document, start, np.arange(len(cuts)), tuple(names), bos is not None, {})


def _sample(corpus: Corpus, n_tokens: int | None, seed: int) -> Corpus:
    """Shuffle the windows, keep the fewest first ones that hold `n_tokens`, and number what is left from 0."""
    corpus = corpus.select(np.random.default_rng(seed).permutation(len(corpus)))
    if n_tokens is not None:
        held = np.cumsum(corpus.mask.sum(axis=1) - int(corpus.prepend_bos))
        corpus = corpus.select(np.arange(min(len(corpus), int(np.searchsorted(held, n_tokens)) + 1)))
    kept, document = np.unique(corpus.document, return_inverse=True)
    names = tuple(corpus.documents[number] for number in kept)
    return replace(corpus, document=document.astype(np.int64), documents=names, window=np.arange(len(corpus)))
