"""Line-ups: four windows in which the unit fires and a silent one; how an answer is read."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.scoring.lineups import ChatPicker, WordPicker, conversation, lineups, number_probability
from eval.explanation.units import Unit
from tests.eval.explanation.planted import fires_on, make_book, make_windows


@pytest.fixture(scope="module")
def book():
    units = {Unit("neuron", 0, 0): fires_on(5, noise=0.0), Unit("neuron", 0, 1): lambda kept, g: 1.0 + 0 * kept}
    return make_book(make_windows(), units, n_random=70)


def test_one_window_is_silent_and_as_many_tokens_are_marked(book) -> None:
    found = lineups(book, 0, 10, seed=0)
    assert len(found) == 10 and len({lineup.intruder for lineup in found}) > 2
    for lineup in found:
        fires = [record.values.max() > 0 for record, _ in lineup.shown]
        assert fires.count(False) == 1 and not fires[lineup.intruder]
        counts = [sum(marked) for _, marked in lineup.shown]
        assert counts[lineup.intruder] in counts[: lineup.intruder] + counts[lineup.intruder + 1 :]
    assert [one.intruder for one in lineups(book, 0, 10, seed=0)] == [one.intruder for one in found]


def test_a_unit_that_is_never_silent_has_none(book) -> None:
    assert lineups(book, 1, 10, seed=0) == []


def test_words_find_the_intruder(book) -> None:
    found = lineups(book, 0, 10, seed=0)
    picked = WordPicker().pick(found)
    assert picked.shape == (10, 5) and np.allclose(picked.sum(1), 1)
    assert [int(row.argmax()) for row in picked] == [lineup.intruder for lineup in found]
    assert WordPicker().pick([]).shape == (0, 5)


def test_the_prompt_numbers_the_texts_and_marks_tokens(book) -> None:
    (lineup, *_) = lineups(book, 0, 1, seed=0)
    text = conversation(lineup)[-1]["content"]
    assert [line[:2] for line in text.splitlines()] == ["1.", "2.", "3.", "4.", "5."] and text.count("<<w5>>") >= 4


@pytest.mark.parametrize(
    ("text", "logprobs", "wanted"),
    [
        ("3", None, [0, 0, 1, 0, 0]),
        ("Text 2.", None, [0, 1, 0, 0, 0]),
        ("4", {"4": np.log(0.6), "1": np.log(0.2), "x": np.log(0.2)}, [0.25, 0, 0, 0.75, 0]),
        ("9", None, None),
        ("none of them", None, None),
    ],
)
def test_answers_are_read_or_missing(text: str, logprobs, wanted) -> None:
    found = number_probability(text, None if logprobs is None else ((text, logprobs),))
    assert np.isnan(found).all() if wanted is None else found.tolist() == pytest.approx(wanted)


def test_a_chat_is_asked_once_for_each(book) -> None:
    class Second:
        name = "second"

        def ask(self, conversations, *, maximum_tokens):
            from eval.explanation.explainers import Reply

            return [Reply("2") for _ in conversations]

    assert ChatPicker(Second()).pick(lineups(book, 0, 3, seed=0)).tolist() == [[0, 1, 0, 0, 0]] * 3
