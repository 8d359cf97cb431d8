"""What each style shows: the range, the near misses, and nothing of the score documents."""

from __future__ import annotations

import pytest

from eval.errors import UserError
from eval.explanation.explainers import Reply
from eval.explanation.explaining.styles import STYLES, StyledExplainer, across_the_range
from eval.explanation.records import LEVELS
from eval.explanation.units import Unit
from tests.eval.explanation.outputs.test_effects import Planted
from tests.eval.explanation.planted import make_book, make_windows


class Recording:
    """A chat that keeps what it is asked."""

    name = "recording"

    def __init__(self) -> None:
        self.asked: list = []

    def ask(self, conversations, *, maximum_tokens):
        self.asked += conversations
        return [Reply("words") for _ in conversations]


def graded(kept, generator):
    """1 on w5, .5 on w6, .3 on w7."""
    return (kept == 5) * 1.0 + (kept == 6) * 0.5 + (kept == 7) * 0.3


@pytest.fixture(scope="module")
def book():
    found = make_book(make_windows(), {Unit("neuron", 0, 0): graded}, n_random=70)
    found.outputs = Planted()
    return found


def asked(book, style: str) -> str:
    chat = Recording()
    (said,) = StyledExplainer(chat, style).explain(book, [0])
    assert said.text == "words"
    return chat.asked[0][-1]["content"]


def test_the_strongest_windows_show_the_strongest_words_alone(book) -> None:
    assert "<<w5>>" in asked(book, "top") and "Strongest: <<w5>> 10" in asked(book, "top")


def test_quantiles_reach_from_the_strongest_to_the_weakest(book) -> None:
    peaks = [LEVELS * one.values.max() for one in across_the_range(book, 0, 5)]
    assert len(peaks) == 5 and peaks == sorted(peaks, reverse=True) and peaks[0] == 10 and peaks[-1] < 5
    assert "<<w5>>" in asked(book, "quantiles") and "<<w7>>" in asked(book, "quantiles")


def test_contrast_shows_near_misses_without_marks(book) -> None:
    fires, _, misses = asked(book, "contrastive").partition("Does not fire:\n")
    assert "<<w5>>" in fires and fires.startswith("Fires:\n1. ")
    shown = misses.partition("\nStrongest:")[0]
    assert len(shown.splitlines()) == 5 and "<<" not in shown and "w5 " not in f"{shown} "


def test_no_style_shows_a_score_document(book) -> None:
    explain = {" ".join(book.windows.words(int(n))[1]) for n in book.windows.of("explain")}
    texts = " ".join(explain)
    for style in STYLES:
        for line in asked(book, style).splitlines():
            number, dot, text = line.partition(". ")
            if number.isdigit() and dot:
                words = text.replace("<<", "").replace(">>", "").split()
                assert "  ".join(words) in texts.replace("   ", "  "), style


def test_an_unknown_style_is_named() -> None:
    with pytest.raises(UserError, match="unknown style 'contrast': did you mean contrastive"):
        StyledExplainer(Recording(), "contrast")
