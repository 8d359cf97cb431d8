"""Positives fire, hard negatives are silent and near; an easy negative is none of them."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.scoring.examples import firing, hard_negatives, lowest, silent
from eval.explanation.scoring.similarity import word_similarity
from eval.explanation.units import Unit
from tests.eval.explanation.planted import make_book, make_windows


def half(kept, generator):
    """1 on w5, .35 on w6, a little on w7."""
    return (kept == 5) * 1.0 + (kept == 6) * 0.35 + (kept == 7) * 0.05


@pytest.fixture(scope="module")
def book():
    return make_book(make_windows(), {Unit("neuron", 0, 0): half}, n_random=70)


def test_hard_negatives_are_silent_and_nearer_than_the_lowest(book) -> None:
    positives = firing(book, 0, 5)
    hard = hard_negatives(book, 0, positives, 5)
    assert len(positives) == len(hard) == 5 and all(record.values.max() == 1 for record in positives)
    assert all(record.values.max() < 0.4 for record in silent(book, 0)) and all(r.values.max() < 0.4 for r in hard)
    assert np.mean([r.values.max() for r in hard]) > np.mean([r.values.max() for r in lowest(book, 0, 5)])
    assert len({record.window for record in hard}) == 5


def test_the_first_is_nearest_by_activation_and_the_second_by_text(book) -> None:
    positives, quiet = firing(book, 0, 5), silent(book, 0)
    hard = hard_negatives(book, 0, positives, 2)
    assert hard[0].values.max() == max(record.values.max() for record in quiet)
    alike = word_similarity(book, [r.tokens for r in quiet], [r.tokens for r in positives]).max(1)
    assert quiet[int(np.argmax(alike))].window in {record.window for record in hard}


def test_nothing_fires_nothing_is_near(book) -> None:
    assert hard_negatives(book, 0, [], 5) == []
