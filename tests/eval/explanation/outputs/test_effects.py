"""What a unit promotes is read with its sign, in words that can be read, and not at all where there is no model."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation.outputs.effects import TEXT_TOKENS, TEXTS, Does, effect_of
from eval.explanation.units import Unit
from tests.eval.explanation.planted import WORDS, fires_on, make_book, make_windows

N = len(WORDS)


class Planted:
    """Unit u promotes token 10 u + 5 and suppresses token 10 u + 6; raised, it promotes token 10 u + 7."""

    def __init__(self) -> None:
        self.raised: list[tuple[int, float, list[tuple[int, ...]]]] = []

    def direct(self, unit: int):
        return np.eye(N)[10 * unit + 5] - np.eye(N)[10 * unit + 6] if unit < 2 else "it writes nothing"

    def steered(self, unit: int, by: float, texts):
        self.raised.append((unit, by, list(texts)))
        return by * np.eye(N)[10 * unit + 7] + 100.0

    def strings(self, tokens):
        return [WORDS[token] for token in tokens]


@pytest.fixture(scope="module")
def book():
    units = {
        Unit("neuron", 0, 1): fires_on(3),
        Unit("random", 0, 0): lambda kept, generator: -3.0 * (kept == 4),
        Unit("cluster", 0, 0): fires_on(5),
    }
    found = make_book(make_windows(), units)
    found.outputs = Planted()
    return found


def test_the_sign_of_a_direction_turns_its_effect(book) -> None:
    assert book.signs.tolist() == [1, -1, 1]
    assert Does(book, 0).logits().promoted[0][0] == WORDS[5] and Does(book, 0).logits().suppressed[0][0] == WORDS[6]
    assert Does(book, 1).logits().promoted[0][0] == WORDS[16] and Does(book, 1).logits().suppressed[0][0] == WORDS[15]


def test_steering_raises_by_the_largest_activation_in_texts_of_the_explain_documents(book) -> None:
    found = Does(book, 1).steering(1)
    unit, by, texts = book.outputs.raised[-1]
    assert (unit, by) == (1, -float(book.scale[1])) and found.suppressed[0][0] == WORDS[17]
    explain = {record.ids[:TEXT_TOKENS] for record in book.random(1, "explain", TEXTS)}
    assert set(texts) == explain and len(texts) == TEXTS


def test_a_unit_that_writes_nothing_says_so(book) -> None:
    with pytest.raises(UserError, match="it writes nothing"):
        Does(book, 2).logits()


def test_records_without_a_model_say_so() -> None:
    book = make_book(make_windows(), {Unit("neuron", 0, 0): fires_on(3)})
    with pytest.raises(UserError, match="expected records of a model"):
        Does(book, 0).steering()


def test_only_differences_between_tokens_count_and_unreadable_ones_are_passed_over() -> None:
    strings = [" a", "\ufffd", "  ", " a", " b", " c"]
    found = effect_of(np.array([3.0, 9.0, 8.0, 2.0, 1.0, -5.0]) + 70, lambda some: [strings[one] for one in some], 2)
    assert [word for word, _ in found.promoted] == [" a", " b"] and found.suppressed[0][0] == " c"
    assert found.promoted[0][1] == 0.0 and found.suppressed[0][1] == -8.0
