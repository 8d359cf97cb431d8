"""Comparisons that are watched: verdicts, the level of all of them together, how many units they take."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation.comparison.deciding import Compared, Watch

ONE = Compared("neuron", "random", 3)


def watched(draw, margin: float = 0.1, most: int = 400, step: int = 8, compared=(ONE,)):
    """Watch until decided: (decision, pairs)."""
    watch = Watch(compared, margin)
    for _ in range(0, most, step):
        watch.add(ONE, draw(step))
        if ONE not in watch.undecided:
            break
    return watch.decisions[0]


def pairs(rng, effect: float, spread: float = 0.2):
    return lambda n: zip(
        rng.normal(0.4 + effect, spread, n).clip(-1, 1), rng.normal(0.4, spread, n).clip(-1, 1), strict=True
    )


@pytest.mark.parametrize(("effect", "verdict"), [(0.25, "above"), (-0.25, "below"), (0.0, "within the margin")])
def test_each_verdict_is_reached(effect: float, verdict: str) -> None:
    found = watched(pairs(np.random.default_rng(0), effect))
    assert found.verdict == verdict and found.is_made
    assert found.line().startswith("layer 3, neuron - random: ") and found.line().endswith(verdict)
    assert found.difference.low is not None and found.difference.n is not None and found.difference.n < 400


def test_large_effects_take_fewer_units_and_more_comparisons_take_more() -> None:
    def mean_pairs(effect: float, compared=(ONE,)) -> float:
        rng = np.random.default_rng(1)
        return float(np.mean([watched(pairs(rng, effect), compared=compared).difference.n for _ in range(8)]))

    six = tuple(Compared("neuron", "random", layer) for layer in (3, 0, 1, 2, 4, 5))
    assert mean_pairs(0.4) < mean_pairs(0.25) < mean_pairs(0.25, six)


def test_no_effect_is_called_one_in_less_than_a_twentieth_of_runs_that_are_watched_throughout() -> None:
    rng = np.random.default_rng(2)
    wrong = sum(watched(pairs(rng, 0.0), margin=0.0, most=80, step=80).is_made for _ in range(300))
    assert wrong / 300 <= 0.05  # one call looks after each of its 80 pairs


def test_pairs_without_a_score_are_left_out_and_a_decision_stays() -> None:
    watch = Watch([ONE], 0.1)
    watch.add(ONE, [(None, 0.2), (0.3, None)])
    assert watch.undecided == [ONE] and watch.decisions[0].difference.reason == "no pair has a score yet"
    watch.add(ONE, [(0.9, 0.0)] * 40)
    (made,) = watch.decisions
    watch.add(ONE, [(-1.0, 1.0)] * 40)
    assert made.verdict == "above" and watch.decisions == (made,) and not watch.undecided


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(UserError, match="expected two kinds of units to compare, got fewer; name more in --units"):
        Watch([], 0.1)
