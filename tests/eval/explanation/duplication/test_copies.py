"""A passage that another document copied, some words changed and its windows cut elsewhere, leaves no copy behind."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.duplication.copies import formulas_of, near_duplicates, remove_near_duplicates
from eval.explanation.windows import SPLITS, Windows, leakage, split_documents

LENGTH, FIRST, PASSAGE = 64, 40, 150


def corpus(every: int, shift: int, seed: int = 0):
    """20 documents, and 20 hosts that hold a passage of 150 tokens of one each, every so manieth token changed."""
    generator = np.random.default_rng(seed)
    originals = generator.integers(0, 5000, (20, 6 * LENGTH))
    hosts = generator.integers(6000, 11_000, originals.shape)
    passage = originals[:, FIRST : FIRST + PASSAGE].copy()
    passage[:, ::every] = generator.integers(5000, 6000, passage[:, ::every].shape)
    hosts[:, FIRST + shift : FIRST + shift + PASSAGE] = passage
    tokens = np.concatenate([originals.reshape(-1, LENGTH), hosts.reshape(-1, LENGTH)])
    return tokens, np.ones(tokens.shape, dtype=bool), np.repeat(np.arange(40), 6)


@pytest.mark.parametrize("every", [8, 30])
@pytest.mark.parametrize("shift", [0, 13, 30, 45])
def test_a_copied_passage_is_caught_and_nothing_else_goes(every: int, shift: int) -> None:
    tokens, keep, document = corpus(every, shift)
    pairs = near_duplicates(tokens, keep, document)
    assert {(int(document[a]), int(document[b])) for a, b in pairs} == {(n, n + 20) for n in range(20)}
    stay = remove_near_duplicates(tokens, keep, document)
    for n in range(20):
        passage = set(tokens[document == n].ravel()[FIRST : FIRST + PASSAGE].tolist())
        for window in tokens[stay][document[stay] == n + 20]:  # what is left of the copy is less than half a window
            assert len(passage & set(window.tolist())) < LENGTH / 2
    assert set(range(20)) <= set(document[stay].tolist()) and len(stay) >= len(tokens) - 20 * 5


def test_the_audit_counts_by_the_same_rule(every: int = 8) -> None:
    tokens, keep, document = corpus(every, 30)
    formulas = formulas_of(tokens, keep, document)
    split = split_documents(document, calibrate=False, seed=1)

    def audited(stay: np.ndarray) -> int:
        windows = Windows(tokens[stay], keep[stay], document[stay], split[stay], {}, formulas=formulas)
        return leakage(windows, {one: windows.of(one) for one in SPLITS})["near_duplicates"]

    assert audited(np.arange(len(tokens))) > 0
    assert audited(remove_near_duplicates(tokens, keep, document, formulas)) == 0


def test_a_formula_of_many_documents_and_repetition_within_one_are_no_copies() -> None:
    tokens, keep, document = corpus(8, 0)
    generator = np.random.default_rng(5)
    plain = generator.integers(0, 5000, tokens.shape)
    plain[::6, :20] = np.arange(20)  # the same header in every document
    plain[1, :20] = plain[2, :20]  # a refrain within one
    assert len(formulas_of(plain, keep, document)) == 16
    assert near_duplicates(plain, keep, document) == []
    plain[7, :20] = plain[13, :20]  # the same length, in two documents alone
    assert near_duplicates(plain, keep, document) == [(7, 13)]


def test_without_documents_half_the_runs_must_be_shared() -> None:
    tokens, keep, document = corpus(8, 30)
    assert near_duplicates(tokens, keep) == []
