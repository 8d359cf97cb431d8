"""Scorers compared between kinds: difference, interval, Holm over layers and scorers."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.comparison.task_rows import mean_difference, task_differences
from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.rules.explainers import RuleExplainer
from eval.explanation.scoring.classification import RuleJudge
from eval.explanation.simulators import RuleSimulator
from eval.explanation.units import Unit
from tests.eval.explanation.planted import fires_on, make_book, make_windows


def test_kinds_are_compared_by_every_scorer() -> None:
    units = {Unit("neuron", 0, n): fires_on(n) for n in range(8)}
    units |= {Unit("cluster", 0, n): lambda kept, g: np.maximum(g.standard_normal(kept.shape), 0) for n in range(8)}
    book = make_book(make_windows(), units, n_random=70)
    settings = Settings(n_resamples=5, lengths=False, tasks=("hard-detection", "intruder"))
    results = explain_and_score(
        book, RuleExplainer("token-lookup"), RuleSimulator(), judge=RuleJudge(), settings=settings
    )
    found = {row.task: row.difference for row in task_differences(results, [("neuron", "cluster")], n_resamples=200)}
    hard = found["hard-detection"]
    assert hard.difference.value is not None and hard.difference.value > 0.2 and hard.difference.n == 16
    assert hard.difference.low is not None and hard.difference.low > 0
    assert hard.p is not None and hard.p_uncorrected is not None and hard.p_uncorrected <= hard.p < 0.05
    assert found["intruder"].difference.n is not None


def test_intervals_of_differences_cover_at_eight_units() -> None:
    generator, covered = np.random.default_rng(0), 0
    for trial in range(200):
        found = mean_difference(generator.beta(6, 3, 8), generator.beta(6, 3, 12), n_resamples=400, seed=trial)
        assert found.low is not None and found.high is not None
        covered += found.low <= 0 <= found.high
    assert 0.91 <= covered / 200 <= 0.99


def test_too_few_units_have_no_interval_and_none_no_difference() -> None:
    few = mean_difference(np.full(3, 0.7), np.full(9, 0.5))
    assert few.value == pytest.approx(0.2) and "3 units of one kind" in str(few.interval_reason)
    assert mean_difference(np.zeros(0), np.ones(3)).reason == "one of the two kinds has no scored unit in this layer"
