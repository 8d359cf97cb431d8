"""Copies: documents and windows that are each other's near-duplicates, by the five-token runs that they share.

One rule finds what is removed, what is kept on one side, and what the audit counts. It is relative: a share of the
smaller one's runs. Axes: ``window``, ``position``, ``run``, ``document``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_array, diags_array

SHINGLE = 5  # tokens
NEAR_DUPLICATE = 0.5  # shared shingles / shingles of the smaller window
COPIED = 0.15  # the same between documents, counted over runs that are no formula
FORMULA = 0.01, 10  # a run is a formula in more than this share of the documents, and more than so many
LINKED = 0.2  # shared shingles / shingles of the smaller document: both stay on one side
_PRIME = np.uint64(1_000_003)


def linked_documents(
    tokens: Int[np.ndarray, "window position"],
    keep: Bool[np.ndarray, "window position"],
    document: Int[np.ndarray, " window"],
) -> list[tuple[int, int]]:
    """Pairs of documents (first < second) of which the smaller shares at least a fifth of its five-token runs.

    A copy with every eighth word changed keeps about half of them, wherever its windows begin; two speeches of one
    genre share a few in a hundred. Counted over the windows that are read.
    """
    names, place = np.unique(document, return_inverse=True)
    holds = _holds(tokens, keep)[0]
    by_document = csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(len(names), len(place)))
    found = _sharing(by_document @ holds, LINKED)
    return [(int(names[first]), int(names[second])) for first, second in found]


def _holds(
    tokens: Int[np.ndarray, "window position"], keep: Bool[np.ndarray, "window position"]
) -> tuple[csr_array, Int[np.ndarray, " shingle"]]:
    """(which window holds which five-token run [window, run], the runs)."""
    of_window = [shingles(row[kept]) for row, kept in zip(tokens, keep, strict=True)]
    owner = np.repeat(np.arange(len(of_window)), [len(found) for found in of_window])
    runs, column = np.unique(np.concatenate(of_window) if of_window else np.zeros(0, np.uint64), return_inverse=True)
    return csr_array((np.ones(len(owner)), (owner, column)), shape=(len(of_window), max(1, len(runs)))), runs


def _sharing(holds: csr_array, share: float, counted: csr_array | None = None) -> list[tuple[int, int]]:
    """Pairs of rows (first < second) that share at least this share of the smaller one's runs; counted: the runs that
    count as shared, where not all do."""
    holds = holds.astype(bool).astype(float)
    size = np.asarray(holds.sum(axis=1)).ravel()
    what = holds if counted is None else counted
    shared = (what @ what.T).tocoo()
    smaller = np.minimum(size[shared.row], size[shared.col])
    found = (shared.row < shared.col) & (shared.data >= share * smaller)
    return sorted(zip(shared.row[found].tolist(), shared.col[found].tolist(), strict=True))


def formulas_of(
    tokens: Int[np.ndarray, "window position"],
    keep: Bool[np.ndarray, "window position"],
    document: Int[np.ndarray, " window"],
) -> Int[np.ndarray, " shingle"]:
    """The five-token runs that more than one document in a hundred, and more than ten, hold: a genre's formulas."""
    names, place = np.unique(document, return_inverse=True)
    holds, runs = _holds(tokens, keep)
    by_document = csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(len(names), len(place)))
    held_by = np.asarray((by_document @ holds).astype(bool).sum(axis=0)).ravel()[: len(runs)]
    return runs[held_by > max(FORMULA[0] * len(names), FORMULA[1])]


def shingles(tokens: Int[np.ndarray, " position"]) -> Int[np.ndarray, " shingle"]:
    """The distinct runs of five tokens of a window, hashed to 64 bits; a shorter window is one shingle."""
    tokens = np.asarray(tokens).astype(np.uint64) + np.uint64(1)
    size = min(SHINGLE, len(tokens))
    out = np.zeros(len(tokens) - size + 1, dtype=np.uint64)
    for offset in range(size):
        out = out * _PRIME + tokens[offset : len(tokens) - size + 1 + offset]
    return np.unique(out)


def near_duplicates(
    tokens: Int[np.ndarray, "window position"],
    keep: Bool[np.ndarray, "window position"],
    document: Int[np.ndarray, " window"] | None = None,
    formulas: Int[np.ndarray, " shingle"] | None = None,
) -> list[tuple[int, int]]:
    """Pairs of windows (first < second) that share at least half of the smaller one's five-token runs; between
    documents .15 is enough, where formulas (`formulas_of`) do not count.

    A passage with every eighth word changed keeps two fifths of its runs, and half of those where its windows are cut
    elsewhere; unrelated windows of one genre share a few in a hundred. A run that more than 1,000 windows share is not
    counted at all.
    """
    holds, runs = _holds(tokens, keep)
    common = np.asarray(holds.sum(axis=0)).ravel() > 1000
    found = set(_sharing(holds, NEAR_DUPLICATE, _without(holds, common)))
    if document is not None:
        known = formulas_of(tokens, keep, document) if formulas is None else formulas
        own = _without(holds, common | np.append(np.isin(runs, known), np.zeros(len(common) - len(runs), bool)))
        found |= {(a, b) for a, b in _sharing(holds, COPIED, own) if document[a] != document[b]}
    return sorted(found)


def _without(holds: csr_array, columns: Bool[np.ndarray, " shingle"]) -> csr_array:
    return holds @ diags_array((~columns).astype(float)).tocsr()


def remove_near_duplicates(
    tokens: Int[np.ndarray, "window position"],
    keep: Bool[np.ndarray, "window position"],
    document: Int[np.ndarray, " window"] | None = None,
    formulas: Int[np.ndarray, " shingle"] | None = None,
) -> Int[np.ndarray, " window"]:
    """The windows that stay, by number: of every near-duplicate pair the later one goes."""
    gone: set[int] = set()
    for first, second in near_duplicates(tokens, keep, document, formulas):
        if first not in gone:
            gone.add(second)
    return np.array([window for window in range(len(tokens)) if window not in gone], dtype=np.int64)
