"""Documents split apart, near-duplicates found and removed, the audit that counts what slipped through."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation.duplication.copies import linked_documents, near_duplicates, remove_near_duplicates
from eval.explanation.windows import SPLITS, Windows, leakage, split_documents
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


def copied_corpus(shift: int, every: int = 8):
    """30 documents of 4 windows, each also as a copy with every eighth token changed, its windows cut elsewhere."""
    generator = np.random.default_rng(3)
    originals = generator.integers(0, 5000, (30, 4 * 64 + shift))
    copies = originals.copy()
    copies[:, ::every] = generator.integers(5000, 6000, copies[:, ::every].shape)
    tokens = np.concatenate([originals[:, : 4 * 64].reshape(-1, 64), copies[:, shift:].reshape(-1, 64)])
    document = np.concatenate([np.repeat(np.arange(30), 4), np.repeat(np.arange(30, 60), 4)])
    return tokens, np.ones(tokens.shape, dtype=bool), document


@pytest.mark.parametrize(("shift", "every"), [(0, 8), (30, 8), (13, 30)])
def test_copies_with_every_eighth_word_changed_never_stand_on_both_sides(shift: int, every: int) -> None:
    tokens, keep, document = copied_corpus(shift, every)
    linked = linked_documents(tokens, keep, document)
    assert linked == [(n, n + 30) for n in range(30)]
    for seed in range(5):
        split = split_documents(document, calibrate=True, seed=seed, linked=linked)
        sides = [set(split[(document == n) | (document == n + 30)]) for n in range(30)]
        assert all(len(side) == 1 for side in sides) and set(split) == {0, 1, 2}
        windows = Windows(tokens, keep, document, split, {})
        assert leakage(windows, {s: windows.of(s) for s in SPLITS})["near_duplicate_documents"] == 0
    apart = split_documents(document, calibrate=False)
    windows = Windows(tokens, keep, document, apart, {})
    assert leakage(windows, {s: windows.of(s) for s in SPLITS})["near_duplicate_documents"] > 0


@pytest.mark.parametrize("every", [8, 30])
def test_a_copy_behind_another_header_is_linked(every: int) -> None:
    """The copy begins with 20 tokens of its own, so all of its windows are cut elsewhere."""
    tokens, keep, document = copied_corpus(0, every)
    copies = tokens[document >= 30].reshape(30, -1)
    header = np.random.default_rng(1).integers(6000, 7000, (30, 20))
    tokens[document >= 30] = np.hstack([header, copies])[:, : copies.shape[1]].reshape(-1, 64)
    assert linked_documents(tokens, keep, document) == [(n, n + 30) for n in range(30)]


def test_the_audit_reads_the_set_that_the_split_was_made_with() -> None:
    tokens, keep, document = copied_corpus(0)
    apart = split_documents(document, calibrate=False)
    used = {"explain": np.flatnonzero(apart == 0), "score": np.flatnonzero(apart == 2)}
    found = leakage(Windows(tokens, keep, document, apart, {}), used)["near_duplicate_documents"]
    few = {split: numbers[:1] for split, numbers in used.items()}  # a set found anew on two windows would miss pairs
    sides = [apart[document == n][0] != apart[document == n + 30][0] for n in range(30)]
    assert found == sum(sides) > 0
    told = Windows(
        tokens, keep, document, apart, {}, linked=[(int(document[few["explain"][0]]), int(document[few["score"][0]]))]
    )
    assert leakage(told, few)["near_duplicate_documents"] == 1


def test_a_shared_header_links_no_documents_and_links_are_followed() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, 5000, (12, 64))
    tokens[:, :8] = np.arange(8)  # the same header everywhere
    keep, document = np.ones(tokens.shape, dtype=bool), np.arange(12)
    assert linked_documents(tokens, keep, document) == []
    split = split_documents(document, calibrate=False, linked=[(0, 1), (1, 2), (2, 3)])
    assert len(set(split[:4])) == 1
    with pytest.raises(UserError, match="expected at least 2 documents .* got 1 that are no copies of each other"):
        split_documents(np.arange(3), calibrate=False, linked=[(0, 1), (1, 2)])


def test_a_link_through_a_document_without_windows_is_followed() -> None:
    document = np.array([0, 2, 4, 6, 8, 10])
    for seed in range(5):
        split = split_documents(document, calibrate=False, seed=seed, linked=[(0, 3), (3, 8)])
        assert split[0] == split[4]


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
