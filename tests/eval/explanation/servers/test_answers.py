"""The phrase in an explainer's answer, and yes or no in a judge's."""

from __future__ import annotations

import pytest

from eval.explanation.explainers import Reply, parse_explanation
from eval.explanation.scoring.classification import yes_probability
from eval.explanation.servers.answers import phrase_of, without_thinking


@pytest.mark.parametrize(
    "text",
    [
        "<think>dates? numbers?</think>years",
        "<think>\ndates\n\n</think>\n\nyears",
        "dates, I think</think>\nyears",
        "**Explanation:** years",
        "**Explanation**: years",
        'Sure! Here is the phrase:\n\n"years"',
        "Sure!\nyears",
        "Here's a short phrase:\n**years**",
        "Final answer: `years`",
        "```\nyears\n```",
        "this neuron fires on years",
        "\u201cyears\u201d",
        "years\nand more lines",
    ],
)
def test_thinking_headings_preambles_and_quotes_go(text: str) -> None:
    assert phrase_of(text) == "years"
    assert parse_explanation(Reply(text)).text == "years"


@pytest.mark.parametrize("text", ['"years" and "months"', "Sure signs of war.", "here is where", "a: b"])
def test_what_belongs_to_the_phrase_stays(text: str) -> None:
    assert phrase_of(text) == text


def test_nothing_but_thinking_is_no_explanation() -> None:
    assert parse_explanation(Reply("<think>dates")).reason == (
        "the reply holds reasoning and no answer (raise the token limit, or use a model that answers)"
    )
    assert parse_explanation(Reply(" ")).reason == "the explainer answered with nothing"


def test_blanking_keeps_every_offset() -> None:
    text = "<think>a\nb</think>1: 0"
    assert len(without_thinking(text)) == len(text) and without_thinking(text).index("1") == text.index("1")


@pytest.mark.parametrize(("text", "probability"), [("**Yes**", 1.0), ("<think>no</think>Yes.", 1.0), ("no", 0.0)])
def test_a_judges_word_is_found(text: str, probability: float) -> None:
    top = (("<think>", {"yes": -0.1, "no": -9.0}),) if "think" in text else None
    assert yes_probability(text, top) == probability
    assert yes_probability("maybe", None) != yes_probability("maybe", None)  # NaN
