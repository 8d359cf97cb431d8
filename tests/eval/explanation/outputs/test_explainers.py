"""The output side's explainers by name: printed, priced, scored; a user's own is given what the unit does too."""

from __future__ import annotations

import pytest

from eval.explanation.explainers import Explanation, Reply
from eval.explanation.explaining.styles import StyledExplainer
from eval.explanation.outputs.explainers import LOGIT_EFFECT, STEERING_EFFECT, printed_tokens
from eval.explanation.registry import EXPLAINERS, FunctionExplainer, register_explainer
from eval.explanation.rules.bits import word_bits
from eval.explanation.rules.printing import read_rule
from eval.explanation.units import Unit
from tests.eval.explanation.outputs.test_effects import Planted
from tests.eval.explanation.planted import VOCABULARY, WORDS, fires_on, make_book, make_windows


class Told:
    """A chat that repeats what it was asked last."""

    name = "told"

    def ask(self, conversations, *, maximum_tokens):
        self.asked = conversations
        return [Reply("words") for _ in conversations]


@pytest.fixture
def book():
    found = make_book(make_windows(), {Unit("neuron", 0, n): fires_on(3 + n) for n in range(3)})
    found.outputs = Planted()
    return found


@pytest.mark.parametrize(("name", "first"), [(LOGIT_EFFECT, 5), (STEERING_EFFECT, 7)])
def test_they_print_what_is_promoted_in_words_that_are_read_back_and_priced(book, name: str, first: int) -> None:
    one, other, silent = FunctionExplainer(name).explain(book, [0, 1, 2])
    rule = read_rule(one.text)
    assert rule.form == "words" and rule.clauses[0].words == (WORDS[first],) and len(rule.clauses) == 12
    assert one.bits == pytest.approx(12 * word_bits(VOCABULARY)) and other.text.startswith(f"`{WORDS[10 + first]}`")
    if name == LOGIT_EFFECT:
        assert silent == Explanation("", reason="explainer logit-effect: it writes nothing")


def test_a_users_function_with_two_arguments_is_given_what_the_unit_does(book, monkeypatch) -> None:
    monkeypatch.setitem(EXPLAINERS, "suppressed", None)  # taken out again after the test

    @register_explainer("suppressed")
    def suppressed(records, does):
        return printed_tokens(does.logits(1).suppressed)

    (found,) = FunctionExplainer("suppressed").explain(book, [1])
    assert found.text == f"`{WORDS[16]}`"


def test_a_prompt_shows_the_windows_with_the_effect_or_the_effect_alone(book) -> None:
    chat = Told()
    found = StyledExplainer(chat, "logit-effect").explain(book, [0, 2])
    asked = chat.asked[0][-1]["content"]
    assert [one.reason for one in found] == [None, "it writes nothing"] and len(chat.asked) == 1
    assert asked.startswith("1. ") and "Strongest: " in asked and f"Makes likelier: {WORDS[5]} | " in asked
    StyledExplainer(chat, "output").explain(book, [0])
    asked = chat.asked[0][-1]["content"]
    assert asked.startswith(f"Makes likelier: {WORDS[5]} | ") and f"Makes less likely: {WORDS[6]} | " in asked
    assert f"\nWhen it is raised: {WORDS[7]} | " in asked and "<<" not in asked
