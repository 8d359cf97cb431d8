"""Every scorer tells a true explanation from a wrong one, and a unit from noise; faults of a judge are no scores."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.explainers import Reply
from eval.explanation.scoring.classification import TASKS, ChatJudge, RuleJudge
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from tests.eval.explanation.planted import Saying, fires_on, make_book, make_windows, says

X, Z = 5, 50
ALL = Settings(n_resamples=5, tasks=TASKS)


def noise(kept, generator):
    return np.maximum(generator.standard_normal(kept.shape), 0)


@pytest.fixture(scope="module")
def book():
    return make_book(make_windows(), {Unit("neuron", 0, 0): fires_on(X), Unit("neuron", 0, 1): noise}, n_random=70)


def score(book, said, judge, units=(0,)):
    return explain_and_score(book, Saying(said, said), RuleSimulator(), units=list(units), judge=judge, settings=ALL)


def test_each_scorer_tells_true_words_from_wrong_ones(book) -> None:
    (true,), (wrong,) = (score(book, says(token), RuleJudge()) for token in (X, Z))
    assert list(true.tasks) == list(TASKS)
    for task in TASKS[:5]:
        assert true.tasks[task].auroc.value > 0.9, task
    assert true.tasks["surprisal"].auroc.reason == (
        "the judge gives no log-probability of a text; --judge local:<model> does"
    )
    told = [task for task in TASKS[:5] if task != "intruder"]
    assert np.mean([wrong.tasks[task].auroc.value for task in told]) < 0.7  # ten cases each: chance is 0.5 +- 0.2
    assert true.tasks["embedding"].balanced_accuracy.reason == "what is compared has no threshold of its own"


def test_the_intruder_needs_no_words_and_is_not_found_among_noise(book) -> None:
    (_, unit) = score(book, says(X), RuleJudge(), units=(0, 1))
    (wrong,) = score(book, says(Z), RuleJudge())
    assert wrong.tasks["intruder"].auroc.value > 0.9
    assert unit.tasks["intruder"].auroc.value is None or unit.tasks["intruder"].auroc.value < 0.75


def test_without_a_judge_only_the_scorer_that_needs_none_is_left(book) -> None:
    (found,) = score(book, says(X), None)
    assert list(found.tasks) == ["embedding"]


def test_answers_that_cannot_be_read_are_missing_and_counted(book) -> None:
    class Mumbling:
        name = "mumbling"

        def ask(self, conversations, *, maximum_tokens):
            return [Reply("perhaps") for _ in conversations]

    (found,) = score(book, says(X), ChatJudge(Mumbling()))
    reason = "no question of one class was answered"
    assert {found.tasks[task].auroc.reason for task in TASKS[:4]} == {reason}
    assert found.notes["question without a usable answer"] == found.missing > 50


def test_words_that_help_to_expect_a_text_are_told_by_a_reader(book) -> None:
    class Reading(RuleJudge):
        class reader:  # noqa: N801
            @staticmethod
            def text_logprobs(heads, texts):
                """A word of the text that the head names is less surprising."""
                pairs = zip(heads, texts, strict=True)
                return np.array([float("` w5`" in head and " w5 " in f"{text} ") for head, text in pairs])

    (true,), (wrong,) = (score(book, says(token), Reading()) for token in (X, Z))
    assert true.tasks["surprisal"].auroc.value > 0.9 and wrong.tasks["surprisal"].auroc.value == 0.5
