"""Copies of documents on both sides let a rule that memorises contexts score; linked documents take that away."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.duplication.copies import linked_documents
from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.rules.explainers import NAMES, RuleExplainer
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from eval.explanation.windows import SPLITS, Windows, leakage, split_documents
from tests.eval.explanation.planted import make_book

GROUPS, COPIES, WINDOWS, LENGTH, VOCABULARY = 16, 8, 3, 33, 40
FAST = Settings(n_resamples=5, lengths=False)


def copies() -> tuple[np.ndarray, np.ndarray]:
    """Texts of few words in random order, each eight times with every eighth word changed: (tokens, document)."""
    generator = np.random.default_rng(0)
    texts = np.repeat(generator.integers(0, VOCABULARY, (GROUPS, WINDOWS * LENGTH)), COPIES, axis=0)
    for row, text in enumerate(texts):
        changed = np.arange(row % 8, text.size, 8)
        text[changed] = generator.integers(0, VOCABULARY, len(changed))
    return texts.reshape(-1, LENGTH), np.repeat(np.arange(GROUPS * COPIES), WINDOWS)


def by_chance(kept: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Fires on a tenth of all runs of three words, with no rule behind it: nothing that other text would tell."""
    run = np.stack([np.roll(kept, lag, axis=1) for lag in range(3)]).astype(np.uint64)
    code = (run[0] * np.uint64(VOCABULARY) + run[1]) * np.uint64(VOCABULARY) + run[2]
    return ((code * np.uint64(2654435761)) % np.uint64(2**32) < 2**32 // 10).astype(float)


@pytest.fixture(scope="module")
def books():
    """(copies apart, copies together)"""
    tokens, document = copies()
    keep = np.ones(tokens.shape, dtype=bool)
    keep[:, 0] = False
    words = {token: f" w{token}" for token in range(VOCABULARY)}
    found = []
    for linked in ((), linked_documents(tokens, keep, document)):
        split = split_documents(document, calibrate=True, linked=linked)
        windows = Windows(tokens, keep, document, split, words)
        found.append(make_book(windows, {Unit("neuron", 0, 0): by_chance}, n_random=40))
    return found


def score(book, form: str) -> float:
    explainer = RuleExplainer(form, bits=20_000)
    (found,) = explain_and_score(book, explainer, RuleSimulator(), settings=FAST)
    assert found.primary.value is not None
    return found.primary.value


@pytest.mark.parametrize("form", NAMES)
def test_contexts_that_were_memorised_score_only_where_copies_stand_apart(books, form: str) -> None:
    apart, together = (score(book, form) for book in books)
    assert together < 0.1
    if form in ("back-off", "decision-list", "token-graph"):
        assert apart > 0.3  # the test would see a leak


def test_the_audit_counts_the_copies(books) -> None:
    counts = []
    for book in books:
        audit = leakage(book.windows, {split: book.windows.of(split) for split in SPLITS})
        counts.append((audit["near_duplicate_documents"], audit["near_duplicates"]))
    assert counts[0][0] > 0 and counts[1] == (0, 0)
