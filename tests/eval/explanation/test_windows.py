"""Documents split apart, near-duplicates found and removed, the audit that counts what slipped through."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation.windows import (
    SPLITS,
    Windows,
    leakage,
    near_duplicates,
    remove_near_duplicates,
    split_documents,
)
from tests.eval.explanation.planted import make_windows


def test_no_document_is_in_two_splits_and_all_splits_have_some() -> None:
    document = np.repeat(np.arange(50), 4)
    split = split_documents(document, calibrate=True, seed=1)
    for one in range(50):
        assert len(set(split[document == one])) == 1
    assert [int((split == code).sum()) for code in range(3)] == [100, 40, 60]
    assert set(split_documents(document, calibrate=False)) == {0, 2}


def test_too_few_documents_is_refused() -> None:
    with pytest.raises(UserError, match="expected at least 2 documents .* got 1; use a corpus of more"):
        split_documents(np.zeros(9, dtype=int), calibrate=False)


def test_near_duplicates_are_found_by_half_shared_runs() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, 1000, (6, 64))
    tokens[3] = tokens[0]
    tokens[3, 60:] = 7  # a copy with a changed end
    tokens[4, 10:64] = tokens[1, :54]  # the same passage, cut elsewhere
    tokens[5, :20] = tokens[2, :20]  # a shared formula: not a copy
    keep = np.ones(tokens.shape, dtype=bool)
    assert near_duplicates(tokens, keep) == [(0, 3), (1, 4)]
    assert remove_near_duplicates(tokens, keep).tolist() == [0, 1, 2, 5]


def test_the_audit_sees_a_leak() -> None:
    windows = make_windows(20, 3)
    clean = {split: windows.of(split) for split in SPLITS}
    assert leakage(windows, clean)["shared_documents"] == leakage(windows, clean)["near_duplicates"] == 0
    dirty = {**clean, "score": np.append(clean["score"], clean["explain"][0])}
    assert leakage(windows, dirty)["shared_documents"] == 1
    tokens = windows.tokens.copy()
    tokens[clean["score"][0]] = tokens[clean["explain"][0]]
    copied = Windows(tokens, windows.keep, windows.document, windows.split, windows.strings)
    assert leakage(copied, clean)["near_duplicates"] == 1


def test_shared_windows_are_spread_over_documents() -> None:
    windows = make_windows(20, 5)
    n_documents = len(set(windows.document[windows.of("score")]))
    chosen = windows.sample("score", n_documents, seed=3)
    assert len(set(windows.document[chosen])) == n_documents
    assert set(windows.split[chosen]) == {SPLITS.index("score")}
    assert windows.sample("score", 4, seed=3).tolist() == windows.sample("score", 4, seed=3).tolist()
