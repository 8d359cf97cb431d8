"""The best explanation is chosen on windows that are not scored."""

from __future__ import annotations

import pytest

from eval.explanation.explainers import Explanation
from eval.explanation.explaining.best_of import BestOf
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from tests.eval.explanation.planted import Saying, fires_on, make_book, make_windows, says


class Counting(RuleSimulator):
    """Keeps the windows it was shown."""

    def __init__(self) -> None:
        self.seen: list = []

    def simulate(self, tasks):
        self.seen += [task.tokens for task in tasks]
        return super().simulate(tasks)


@pytest.fixture(scope="module")
def book():
    return make_book(make_windows(), {Unit("neuron", 0, n): fires_on(n) for n in range(2)})


def test_each_unit_gets_its_best_words_from_windows_that_are_not_scored(book) -> None:
    failed = Explanation("", reason="no reply")
    simulator = Counting()
    best = BestOf([Saying(says(0), says(9)), Saying(failed, says(1)), Saying(says(8), says(1))], simulator)
    assert best.explain(book, [0, 1]) == [says(0), says(1)] and best.name == "best of 3, oracle"
    scored = {tuple(book.windows.words(int(n))[0]) for n in book.windows.of("score")}
    assert len(simulator.seen) == 4 * 10 and not scored & set(simulator.seen)  # the same words are simulated once


def test_where_nothing_was_said_the_first_reason_stays(book) -> None:
    failed = Explanation("", reason="no reply")
    assert BestOf([Saying(failed, failed)] * 2, RuleSimulator()).explain(book, [0]) == [failed]
