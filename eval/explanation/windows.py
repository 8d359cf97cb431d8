"""Which windows may be used for what: documents split in two or three, near-duplicates out, leakage audited.

Axes: ``window`` (a fixed number of tokens of one document), ``position``, ``document``. A split is ``explain``,
``calibrate`` or ``score``; a document belongs to exactly one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from eval.errors import UserError
from eval.explanation.duplication.copies import formulas_of, linked_documents, near_duplicates

SPLITS = ("explain", "calibrate", "score")


@dataclass(frozen=True, eq=False)
class Windows:
    """Equally long token windows with their document and split.

    tokens: [window, position] token ids. keep: [window, position], false where an activation is not to be read (BOS,
    padding). document: [window]. split: [window], an index into ``SPLITS``. strings: each token id as text.
    vocabulary: size of the model's vocabulary (0: the tokens of ``strings``). linked: the near-duplicate documents that
    were kept on one side, formulas: runs that many documents hold (`formulas_of`; of both, ``None``: not looked for
    yet). memory: what was derived from them.
    """

    tokens: Int[np.ndarray, "window position"]
    keep: Bool[np.ndarray, "window position"]
    document: Int[np.ndarray, " window"]
    split: Int[np.ndarray, " window"]
    strings: Mapping[int, str]
    vocabulary: int = 0
    linked: Sequence[tuple[int, int]] | None = None
    formulas: Int[np.ndarray, " shingle"] | None = None
    memory: dict[Any, Any] = field(default_factory=dict, repr=False)
    _words: dict[int, tuple[tuple[int, ...], tuple[str, ...]]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def vocabulary_size(self) -> int:
        """|V|, which says what a token costs in bits."""
        return self.vocabulary or len(self.strings)

    def of(self, split: str) -> Int[np.ndarray, " window"]:
        """The windows of one split, by number."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def words(self, window: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The kept tokens of a window: (ids, text). Remembered, since many units share a window."""
        if window not in self._words:
            tokens = tuple(self.tokens[window][self.keep[window]].tolist())
            self._words[window] = tokens, tuple(self.strings[token] for token in tokens)
        return self._words[window]

    def sample(self, split: str, count: int, seed: int) -> Int[np.ndarray, " window"]:
        """``count`` random windows of a split, spread over its documents: no document gives a second window before
        every document has given one."""
        members = self.of(split)
        order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(members)
        seen: dict[int, int] = {}
        turn = np.empty(len(order), dtype=int)
        for place, window in enumerate(order):
            document = int(self.document[window])
            turn[place] = seen[document] = seen.get(document, -1) + 1
        return np.sort(order[np.argsort(turn, kind="stable")][:count])


def split_documents(
    document: Int[np.ndarray, " window"],
    *,
    calibrate: bool,
    seed: int = 0,
    linked: Sequence[tuple[int, int]] = (),
) -> Int[np.ndarray, " window"]:
    """The split of each window, by document: explain 1/2, score the rest; calibrate takes 1/5 where it is asked for.

    linked: pairs of documents that are near-duplicates (`linked_documents`); they stay on one side.
    Raises ``UserError`` where there are fewer documents (linked ones counted once) than splits.
    """
    document = _first_of_linked(document, linked)
    documents = np.unique(document)
    wanted = 3 if calibrate else 2
    if len(documents) < wanted:
        raise UserError(
            f"expected at least {wanted} documents (explain and score sets share none), got {len(documents)}"
            f"{' that are no copies of each other' if linked else ''}; "
            "use a corpus of more documents, or split it with --document-separator"
        )
    order = np.random.default_rng(seed).permutation(documents)
    half = max(1, len(order) // 2)
    fifth = max(1, len(order) // 5) if calibrate else 0
    part = np.full(int(documents.max()) + 1, SPLITS.index("score"))
    part[order[:half]] = SPLITS.index("explain")
    part[order[half : half + fifth]] = SPLITS.index("calibrate")
    return part[document]


def _first_of_linked(
    document: Int[np.ndarray, " window"], linked: Sequence[tuple[int, int]]
) -> Int[np.ndarray, " window"]:
    """The document of each window, that of the first one for documents that are linked, directly or through others."""
    named = np.array(linked, dtype=document.dtype).reshape(-1, 2)  # of these, some may have lost all their windows
    names = np.unique(np.concatenate([document, named.ravel()]))
    place, pairs = np.searchsorted(names, document), np.searchsorted(names, named)
    graph = csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    first = np.array([names[component == c].min() for c in component])
    return first[place]


def leakage(windows: Windows, used: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The audit: documents, near-duplicate windows and near-duplicate documents that two splits share, counted on the
    windows really used.

    ``used`` maps a split to the windows a unit was explained, calibrated or scored on. Near-duplicate documents are the
    set that the split was made with, or what would be found on all windows. The three counts must be 0.
    """
    numbers = {split: np.unique(np.asarray(list(used.get(split, ())), dtype=np.int64)) for split in SPLITS}
    documents = [set(windows.document[numbers[split]].tolist()) for split in SPLITS]
    shared = sum(len(documents[a] & documents[b]) for a in range(3) for b in range(a + 1, 3))
    everything = np.concatenate(list(numbers.values()))
    side = np.repeat(np.arange(3), [len(numbers[split]) for split in SPLITS])
    formulas = windows.formulas
    if formulas is None:
        formulas = formulas_of(windows.tokens, windows.keep, windows.document)
    chosen = (windows.tokens[everything], windows.keep[everything], windows.document[everything])
    pairs = near_duplicates(*chosen, formulas)
    across = sum(1 for a, b in pairs if side[a] != side[b])
    links = windows.linked
    if links is None:
        links = linked_documents(windows.tokens, windows.keep, windows.document)
    side_of = {number: place for place, found in enumerate(documents) for number in found}
    return {
        "shared_documents": shared,
        "near_duplicates": across,
        "near_duplicate_documents": sum({a, b} <= side_of.keys() and side_of[a] != side_of[b] for a, b in links),
        **{f"{split}_windows": len(numbers[split]) for split in SPLITS},
    }
