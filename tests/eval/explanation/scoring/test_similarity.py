"""Cosine of weighted words, by hand; numbers and signs are no words."""

from __future__ import annotations

import pytest

from eval.explanation.scoring.similarity import word_similarity, words_of
from eval.explanation.units import Unit
from tests.eval.explanation.planted import fires_on, make_book, make_windows


def test_words_leave_levels_and_signs_out() -> None:
    assert words_of("`Years` 4.5; ` of` 3") == ["years", "of"]
    assert words_of((" Ye", "ars", ",", " 1861")) == ["years"]


def test_the_same_is_1_nothing_shared_is_0_and_order_is_nothing() -> None:
    book = make_book(make_windows(20, 3), {Unit("neuron", 0, 0): fires_on(5)}, n_random=9)
    found = word_similarity(book, ["w1 w2", "w3", ""], [(" w2", " w1"), (" w1", " w9")])
    assert found[0, 0] == pytest.approx(1) and 0 < found[0, 1] < 1
    assert found[1].tolist() == [0, 0] and found[2].tolist() == [0, 0]
