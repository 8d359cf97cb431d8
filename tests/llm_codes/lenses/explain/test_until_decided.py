"""A run that stops on what it shows: which units are drawn, when it stops, what a continued run does."""

from __future__ import annotations

import pytest

from eval.errors import BudgetReachedError, UserError
from eval.explanation.evaluate import Settings
from eval.explanation.rules.explainers import RuleExplainer
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from eval.runs import Run
from llm_codes.configs.explain import ExplainOptions
from llm_codes.lenses.explain.backends import Parts
from llm_codes.lenses.explain.groups import finished_group, score_group
from llm_codes.lenses.explain.recording import Recorded
from llm_codes.lenses.explain.until_decided import comparisons, draw_until_decided, members_of, stopped
from tests.eval.explanation.planted import fires_on, make_book, make_windows

SETTINGS = Settings(n_resamples=5, lengths=False)


def noise(kept, generator):
    return generator.standard_normal(kept.shape) ** 2


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """12 neurons that a token list explains and 12 clusters that nothing explains; in layer 1 neurons alone."""
    units = {Unit("neuron", layer, n): fires_on(n) for layer in (0, 1) for n in range(12)}
    units |= {Unit("cluster", 0, n): noise for n in range(12)}
    windows = make_windows(40, 4)
    books = {name: make_book(windows, units, n_random=30) for name in ("trained", "shuffled")}
    return Recorded(books, windows, [])


def draw(recorded: Recorded, run: Run | None = None, budget: int = 10**9, **options):
    """budget: units that are paid for."""
    asked = []

    def score(condition, kind, numbers):
        if sum(len(found) for _, _, found in asked) + len(numbers) > budget:
            raise BudgetReachedError("the budget of $2 is reached")

        def compute(keep=None):
            asked.append((condition, kind, tuple(numbers)))
            parts = Parts(RuleExplainer("token-lookup"), RuleSimulator(), None)
            return score_group(lambda: recorded, condition, *kind, parts, SETTINGS, members=numbers, keep=keep)

        return finished_group(run, (condition, *kind), compute, members=numbers, keep_predictions=False)

    return draw_until_decided(recorded, ExplainOptions(**options), score, seed=0), asked


def test_it_stops_once_decided_and_scores_the_controls_of_the_same_units(recorded) -> None:
    found, asked = draw(recorded, until_decided=0.1, max_units=400)
    (decision,) = found.decisions
    assert (decision.a, decision.b, decision.layer, decision.verdict) == ("neuron", "cluster", 0, "above")
    assert decision.difference.low > 0 and decision.difference.n < 60
    trained, shuffled = ([n for c, _, ns in asked if c == condition for n in ns] for condition in recorded.books)
    assert trained == shuffled and len(set(trained)) == len(trained) == len(found.units) / 2
    assert {unit.unit.layer for unit in found.units} == {0}


def test_an_open_comparison_ends_undecided_at_the_most_units(recorded) -> None:
    found, _ = draw(recorded, until_decided=0.1, max_units=8)
    assert found.decisions[0].verdict == "undecided" and found.decisions[0].difference.n == 8
    assert "decided at a margin of 0.1, or 8 of each kind" in stopped(ExplainOptions(until_decided=0.1, max_units=8))


def test_a_budget_that_is_reached_ends_it_with_what_was_decided_until_then(recorded) -> None:
    whole, asked = draw(recorded, until_decided=0.01, max_units=16)
    first = sum(len(found) for _, _, found in asked[:4])  # one turn: two kinds in two conditions
    found, paid = draw(recorded, budget=first + 1, until_decided=0.01, max_units=16)
    assert found.stopped == "the budget of $2 is reached" and len(paid) in (4, 5) and not whole.stopped
    assert found.units == whole.units[: len(found.units)] and len(found.units) == first  # no half of a turn
    assert found.decisions[0].verdict == "undecided" and found.decisions[0].difference.n == 8
    with pytest.raises(BudgetReachedError):
        draw(recorded, budget=1, until_decided=0.01, max_units=16)


def test_a_continued_run_draws_the_same_units_and_computes_none_again(recorded, tmp_path) -> None:
    first, asked = draw(recorded, Run(tmp_path), until_decided=0.1, max_units=8)
    again, none = draw(recorded, Run(tmp_path), until_decided=0.1, max_units=8)
    assert asked and not none and again.units == first.units and again.decisions == first.decisions
    more, rest = draw(recorded, Run(tmp_path), until_decided=0.1, max_units=400)
    assert rest and not set(rest) & set(asked) and more.decisions[0].is_made


def test_what_is_compared(recorded) -> None:
    assert comparisons(recorded) == [("neuron", "cluster", 0)]
    assert {kind: len(numbers) for kind, numbers in members_of(recorded).items()} == {
        ("neuron", 0): 12,
        ("neuron", 1): 12,
        ("cluster", 0): 12,
    }
    alone = Recorded({"trained": make_book(make_windows(20, 3), {Unit("neuron", 0, 1): fires_on(1)})}, None, [])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="expected two kinds of units to compare"):
        draw(alone, until_decided=0.1)
