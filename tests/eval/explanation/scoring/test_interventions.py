"""Steered continuations as questions: what is asked, and why it cannot be."""

from __future__ import annotations

import pytest

from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.scoring.classification import RuleJudge
from eval.explanation.scoring.interventions import HEAD_TOKENS, steered_questions
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from tests.eval.explanation.planted import Saying, fires_on, make_book, make_windows, says

X, Z = 5, 50


class Says:
    """A model that says w5 where the unit is raised, else w7; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list = []

    def steer(self, unit, by, heads, seed):
        self.asked.append((by, [len(head) for head in heads]))
        return [(" w5" if by else " w7", " w1") for _ in heads]


class Clustered:
    def steer(self, unit, by, heads, seed):
        return "the unit reads activations and writes none: it cannot be steered"


@pytest.fixture(scope="module")
def book():
    return make_book(make_windows(), {Unit("neuron", 0, 0): fires_on(X)}, n_random=40)


def test_a_unit_is_raised_by_its_largest_activation(book) -> None:
    model = Says()
    found = steered_questions(book, 0, says(X), model, 6, seed=0)
    assert [by for by, _ in model.asked] == [pytest.approx(float(book.scale[0])), 0.0]
    assert model.asked[0][1] == [HEAD_TOKENS] * 6
    assert [one.truth for one in found] == [True] * 6 + [False] * 6


def scored(book, said, steering, condition="trained"):
    settings = Settings(n_resamples=5, lengths=False, tasks=("intervention",))
    explained = explain_and_score(
        book,
        Saying(said),
        RuleSimulator(),
        judge=RuleJudge(),
        settings=settings,
        condition=condition,
        steering=steering,
    )
    return explained[0].tasks["intervention"].auroc


def test_words_that_tell_what_steering_does_score(book) -> None:
    assert scored(book, says(X), Says()).value == 1.0
    assert scored(book, says(Z), Says()).value == 0.5


def test_what_cannot_be_steered_has_a_reason(book) -> None:
    assert "it cannot be steered" in scored(book, says(X), Clustered()).reason
    assert scored(book, says(X), None).reason == "no model was given to steer"
    assert scored(book, says(X), Says(), "untrained").reason == "the untrained control is not steered"
